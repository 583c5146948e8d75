// A kernel whose registers do not suffice: the flags of the CUDA build must refuse it.
__global__ void __launch_bounds__(1024, 2) spill(float* p) {
  float x[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) x[i] = p[threadIdx.x + 1024 * i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) p[threadIdx.x * 64 + i] = x[63 - i] * x[i];
}
