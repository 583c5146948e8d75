// The library from Rust, without a crate: the C interface is declared here as mxfp4/capi/mxfp4.h has it. Prints what
// main.cpp prints, then the outputs of a Linear layer and of the first mixture of experts in the checkpoint that the argument
// names, and what a wrong call is told, on this thread and on another one.
use std::ffi::{c_char, c_void, CStr, CString};
use std::mem::{size_of, size_of_val};
use std::ptr::{null, null_mut};

const F32: i32 = 0;
const OK: i32 = 0;

#[repr(C)]
struct Matrix {
    size: usize,
    codes: *const u8,
    code_bytes: usize,
    scales: *const u8,
    scale_bytes: usize,
    rows: i64,
    columns: i64,
    block_size: i32,
    nibble_order: i32,
}

#[repr(C)]
struct QuantizeOptions {
    size: usize,
    preset: *const c_char,
    scale_rule: *const c_char,
    nonfinite: *const c_char,
    importance: *const f32,
    importance_count: usize,
    block_size: i32,
    threads: i32,
}

#[repr(C)]
#[derive(Default)]
struct ErrorStats {
    size: usize,
    signal: f64,
    noise: f64,
    sqnr_db: f64,
    elements: u64,
    blocks: u64,
    lossless_blocks: u64,
    saturated: u64,
}

#[repr(C)]
struct ForwardOptions {
    size: usize,
    x_stride: i64,
    activation: i32,
    threads: i32,
}

extern "C" {
    fn mxfp4_status_name(status: i32) -> *const c_char;
    fn mxfp4_last_error() -> *const c_char;
    fn mxfp4_sizes(rows: i64, columns: i64, block_size: i32, code_bytes: *mut usize, scale_bytes: *mut usize) -> i32;
    fn mxfp4_quantize(
        x: *const c_void,
        x_bytes: usize,
        dtype: i32,
        rows: i64,
        columns: i64,
        options: *const QuantizeOptions,
        codes: *mut u8,
        code_bytes: usize,
        scales: *mut u8,
        scale_bytes: usize,
        stats: *mut ErrorStats,
    ) -> i32;
    fn mxfp4_dequantize(matrix: *const Matrix, out: *mut c_void, out_bytes: usize, dtype: i32, threads: i32) -> i32;
    fn mxfp4_linear_create(
        weight: *const Matrix,
        bias: *const f32,
        bias_count: usize,
        options: *const c_void,
        layer: *mut *mut c_void,
    ) -> i32;
    fn mxfp4_linear_destroy(layer: *mut c_void);
    fn mxfp4_linear_forward(
        layer: *const c_void,
        tokens: i64,
        x: *const c_void,
        x_bytes: usize,
        x_dtype: i32,
        y: *mut c_void,
        y_bytes: usize,
        y_dtype: i32,
        options: *const ForwardOptions,
    ) -> i32;
    fn mxfp4_checkpoint_open(path: *const c_char, checkpoint: *mut *mut c_void) -> i32;
    fn mxfp4_checkpoint_close(checkpoint: *mut c_void);
    fn mxfp4_mlp_load(checkpoint: *const c_void, layer: i64, options: *const c_void, mlp: *mut *mut c_void) -> i32;
    fn mxfp4_mlp_destroy(mlp: *mut c_void);
    fn mxfp4_mlp_experts(mlp: *const c_void) -> i64;
    fn mxfp4_mlp_hidden(mlp: *const c_void) -> i64;
    fn mxfp4_mlp_forward(
        mlp: *const c_void,
        tokens: i64,
        token_ids: *const i32,
        token_id_count: usize,
        x: *const c_void,
        x_bytes: usize,
        x_dtype: i32,
        y: *mut c_void,
        y_bytes: usize,
        y_dtype: i32,
        options: *const ForwardOptions,
    ) -> i32;
}

fn text(pointer: *const c_char) -> String {
    unsafe { CStr::from_ptr(pointer) }.to_str().expect("UTF-8").to_owned()
}

fn last_error() -> String {
    text(unsafe { mxfp4_last_error() })
}

fn check(status: i32) -> Result<(), String> {
    if status == OK {
        return Ok(());
    }
    Err(format!("{}: {}", text(unsafe { mxfp4_status_name(status) }), last_error()))
}

struct Quantized {
    codes: Vec<u8>,
    scales: Vec<u8>,
    rows: i64,
    columns: i64,
}

impl Quantized {
    fn new(x: &[f32], rows: i64, columns: i64, preset: &str) -> Result<(Self, ErrorStats), String> {
        let preset = CString::new(preset).unwrap();
        let options = QuantizeOptions {
            size: size_of::<QuantizeOptions>(),
            preset: preset.as_ptr(),
            scale_rule: null(),
            nonfinite: null(),
            importance: null(),
            importance_count: 0,
            block_size: 0,
            threads: 0,
        };
        let mut stats = ErrorStats { size: size_of::<ErrorStats>(), ..Default::default() };
        let (mut code_bytes, mut scale_bytes) = (0, 0);
        check(unsafe { mxfp4_sizes(rows, columns, 0, &mut code_bytes, &mut scale_bytes) })?;
        let (mut codes, mut scales) = (vec![0; code_bytes], vec![0; scale_bytes]);
        check(unsafe {
            mxfp4_quantize(
                x.as_ptr().cast(),
                size_of_val(x),
                F32,
                rows,
                columns,
                &options,
                codes.as_mut_ptr(),
                codes.len(),
                scales.as_mut_ptr(),
                scales.len(),
                &mut stats,
            )
        })?;
        Ok((Quantized { codes, scales, rows, columns }, stats))
    }

    fn matrix(&self) -> Matrix {
        Matrix {
            size: size_of::<Matrix>(),
            codes: self.codes.as_ptr(),
            code_bytes: self.codes.len(),
            scales: self.scales.as_ptr(),
            scale_bytes: self.scales.len(),
            rows: self.rows,
            columns: self.columns,
            block_size: 0,
            nibble_order: 0,
        }
    }

    fn dequantized(&self) -> Result<Vec<f32>, String> {
        let mut out = vec![0.0f32; (self.rows * self.columns) as usize];
        let bytes = size_of_val(&out[..]);
        check(unsafe { mxfp4_dequantize(&self.matrix(), out.as_mut_ptr().cast(), bytes, F32, 1) })?;
        Ok(out)
    }
}

struct Linear {
    layer: *mut c_void,
    rows: usize,
}

impl Linear {
    fn new(weight: &Quantized, bias: &[f32]) -> Result<Self, String> {
        let mut layer = null_mut();
        check(unsafe { mxfp4_linear_create(&weight.matrix(), bias.as_ptr(), bias.len(), null(), &mut layer) })?;
        Ok(Linear { layer, rows: weight.rows as usize })
    }

    fn forward(&self, x: &[f32], tokens: usize) -> Result<Vec<f32>, String> {
        let options = ForwardOptions { size: size_of::<ForwardOptions>(), x_stride: 0, activation: 0, threads: 1 };
        let mut y = vec![0.0f32; tokens * self.rows];
        let bytes = size_of_val(&y[..]);
        let x_bytes = size_of_val(x);
        check(unsafe {
            let (from, to) = (x.as_ptr().cast(), y.as_mut_ptr().cast());
            mxfp4_linear_forward(self.layer, tokens as i64, from, x_bytes, F32, to, bytes, F32, &options)
        })?;
        Ok(y)
    }
}

impl Drop for Linear {
    fn drop(&mut self) {
        unsafe { mxfp4_linear_destroy(self.layer) }
    }
}

struct Mlp(*mut c_void);

impl Mlp {
    fn load(path: &str, layer: i64) -> Result<Self, String> {
        let path = CString::new(path).unwrap();
        let (mut checkpoint, mut mlp) = (null_mut(), null_mut());
        check(unsafe { mxfp4_checkpoint_open(path.as_ptr(), &mut checkpoint) })?;
        let status = unsafe { mxfp4_mlp_load(checkpoint, layer, null(), &mut mlp) };
        unsafe { mxfp4_checkpoint_close(checkpoint) };
        check(status).map(|()| Mlp(mlp))
    }

    fn hidden(&self) -> usize {
        unsafe { mxfp4_mlp_hidden(self.0) as usize }
    }

    fn forward(&self, x: &[f32]) -> Result<Vec<f32>, String> {
        let mut y = vec![0.0f32; x.len()];
        let (tokens, bytes) = ((x.len() / self.hidden()) as i64, size_of_val(x));
        check(unsafe {
            let (from, to) = (x.as_ptr().cast(), y.as_mut_ptr().cast());
            mxfp4_mlp_forward(self.0, tokens, null(), 0, from, bytes, F32, to, bytes, F32, null())
        })?;
        Ok(y)
    }
}

impl Drop for Mlp {
    fn drop(&mut self) {
        unsafe { mxfp4_mlp_destroy(self.0) }
    }
}

fn main() -> Result<(), String> {
    let mut x = [0.25f32; 64];
    x[0] = 4.0;
    let (vector, stats) = Quantized::new(&x, 1, 64, "mxfp4")?;
    for scale in &vector.scales {
        println!("scale byte {scale}");
    }
    let y = vector.dequantized()?;
    println!("{} {} {}", y[0], y[1], y[63]);
    println!("{} of {} blocks are lossless, noise {}", stats.lossless_blocks, stats.blocks, stats.noise);

    let layer = Linear::new(&vector, &[0.5])?;
    println!("{:?}", layer.forward(&[1.0; 128], 2)?);

    let model = std::env::args().nth(1).expect("a checkpoint");
    let mlp = Mlp::load(&model, 0)?;
    let y = mlp.forward(&vec![1.0; 2 * mlp.hidden()])?;
    let (first, second) = y.split_at(mlp.hidden());
    println!("{} experts, {}", unsafe { mxfp4_mlp_experts(mlp.0) }, first == second && first.iter().any(|v| *v != 0.0));

    println!("{}", Mlp::load(&model, 3).err().unwrap().rsplit(": ").next().unwrap());
    println!("{}", layer.forward(&[1.0; 127], 2).unwrap_err());
    println!("{}", Quantized::new(&[f32::NAN; 32], 1, 32, "mxfp4").err().unwrap());
    println!("{}", Quantized::new(&x, 1, 64, "best").err().unwrap().split(';').next().unwrap());
    let elsewhere = std::thread::spawn(last_error).join().unwrap();
    println!("on another thread: '{elsewhere}'");
    Ok(())
}
