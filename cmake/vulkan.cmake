# mxfp4/kernel/vulkan/, with shaders compiled to SPIR-V and embedded. Headers only: the loader is opened at run time, so
# that one build serves machines with and without Vulkan.
set(MXFP4_VULKAN AUTO CACHE STRING "The Vulkan backend: ON, OFF, or AUTO if headers and glslangValidator are there")
set_property(CACHE MXFP4_VULKAN PROPERTY STRINGS AUTO ON OFF)

if(MXFP4_VULKAN)  # AUTO is true, too
  find_path(MXFP4_VULKAN_HEADERS vulkan/vulkan.h)
  find_program(MXFP4_GLSLANG glslangValidator)
  mark_as_advanced(MXFP4_VULKAN_HEADERS MXFP4_GLSLANG)
endif()
if(MXFP4_VULKAN AND MXFP4_VULKAN_HEADERS AND MXFP4_GLSLANG)
  set(vulkan_built TRUE)
elseif(NOT MXFP4_VULKAN OR MXFP4_VULKAN STREQUAL "AUTO")
  set(vulkan_built FALSE)
else()
  message(FATAL_ERROR "MXFP4_VULKAN is '${MXFP4_VULKAN}', but vulkan/vulkan.h or glslangValidator is missing "
                      "(Debian: libvulkan-dev, glslang-tools)")
endif()

# In front of the library: takes the sources of the backend out of these lists where it is not built.
function(mxfp4_vulkan_sources)
  if(vulkan_built)
    return()
  endif()
  foreach(list IN LISTS ARGN)
    list(FILTER ${list} EXCLUDE REGEX "/mxfp4/kernel/vulkan/")
    set(${list} ${${list}} PARENT_SCOPE)
  endforeach()
endfunction()

# Behind it: mxfp4/kernel/vulkan/shaders/<name>.comp -> spirv_<name>.inc, which holds <name>_spirv.
function(mxfp4_vulkan_shaders target)
  if(NOT vulkan_built)
    return()
  endif()
  set(folder ${PROJECT_SOURCE_DIR}/mxfp4/kernel/vulkan/shaders)
  set(generated ${PROJECT_BINARY_DIR}/spirv/mxfp4/kernel/vulkan)
  file(MAKE_DIRECTORY ${generated})
  file(GLOB shaders CONFIGURE_DEPENDS ${folder}/*.comp)
  file(GLOB parts CONFIGURE_DEPENDS ${folder}/*.glsl)
  set(all "")
  foreach(shader IN LISTS shaders)
    get_filename_component(name ${shader} NAME_WE)
    set(output ${generated}/spirv_${name}.inc)
    add_custom_command(OUTPUT ${output} DEPENDS ${shader} ${parts} VERBATIM
      COMMAND ${MXFP4_GLSLANG} -V --target-env vulkan1.1 --quiet --vn ${name}_spirv -o ${output} ${shader})
    list(APPEND outputs ${output})
    string(APPEND all "#include \"mxfp4/kernel/vulkan/spirv_${name}.inc\"\n")
  endforeach()
  file(CONFIGURE OUTPUT ${generated}/spirv_all.inc CONTENT "${all}" @ONLY)
  add_custom_target(${target}_spirv DEPENDS ${outputs})
  add_dependencies(${target} ${target}_spirv)
  set_source_files_properties(mxfp4/kernel/vulkan/spirv.cpp PROPERTIES
    OBJECT_DEPENDS "${outputs}" INCLUDE_DIRECTORIES ${PROJECT_BINARY_DIR}/spirv)
  set_property(SOURCE mxfp4/kernel/devices.cpp APPEND PROPERTY COMPILE_DEFINITIONS MXFP4_VULKAN=1)
endfunction()
