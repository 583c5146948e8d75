# mxfp4/python/ -> the extension module mxfp4._core. `pip install .` comes here through pyproject.toml; the component
# `python` is what a wheel holds beside the .py files, in the folder of the package:
#   _core.*.so, bin/mxfp4    with a DT_RPATH to
#   lib/                     the library, and every shared library that is not part of any Linux system
# and among the programs of the environment, mxfp4, which starts the tool.
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
find_package(nanobind CONFIG REQUIRED)
if(NOT BUILD_SHARED_LIBS)
  message(FATAL_ERROR "MXFP4_BUILD_PYTHON needs BUILD_SHARED_LIBS: extension and tool share the library")
endif()

nanobind_add_module(mxfp4_python NB_STATIC NB_SUPPRESS_WARNINGS ${python_sources})
target_link_libraries(mxfp4_python PRIVATE mxfp4 fmt::fmt Threads::Threads)
target_compile_features(mxfp4_python PRIVATE cxx_std_20)
mxfp4_flags(mxfp4_python)
# An old-style RPATH is searched for the libraries of libraries, too.
set_target_properties(mxfp4_python PROPERTIES OUTPUT_NAME _core INSTALL_RPATH "$ORIGIN/lib")
set_target_properties(mxfp4_tool PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
foreach(target mxfp4_python mxfp4_tool)
  target_link_options(${target} PRIVATE -Wl,--disable-new-dtags)
endforeach()

install(TARGETS mxfp4_python LIBRARY DESTINATION . COMPONENT python)
install(TARGETS mxfp4_tool RUNTIME DESTINATION bin COMPONENT python)
if(SKBUILD) # what pip puts among the programs: Python itself would take 100 ms to start the tool
  configure_file(mxfp4/python/mxfp4.sh.in script/mxfp4 @ONLY)
  install(PROGRAMS ${PROJECT_BINARY_DIR}/script/mxfp4 DESTINATION ${SKBUILD_SCRIPTS_DIR} COMPONENT python)
endif()
# Under their sonames, as a wheel holds no links. What stays outside is what manylinux leaves to the system.
install(CODE [[
  file(GET_RUNTIME_DEPENDENCIES LIBRARIES $<TARGET_FILE:mxfp4_python> EXECUTABLES $<TARGET_FILE:mxfp4_tool>
       RESOLVED_DEPENDENCIES_VAR libraries
       PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|rt|dl|pthread|stdc\\+\\+|gcc_s)\\.so")
  file(MAKE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/lib)
  foreach(library IN LISTS libraries)
    get_filename_component(name ${library} NAME)
    file(REAL_PATH ${library} library)
    file(COPY_FILE ${library} ${CMAKE_INSTALL_PREFIX}/lib/${name})
  endforeach()
]] COMPONENT python)
