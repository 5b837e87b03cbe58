//! AMX: a matrix register holds 16 rows of 64 bytes, and one instruction multiplies 16 rows of
//! input with 32 columns of 16 rows of weights.
//!
//! Only step 1 of [`super`] is done there: a product is 32 columns deep, half of what a register
//! could hold, so that sums stay those of one block and the floats that follow keep their order.
//! The compiler knows nothing of these registers; each piece of assembly names those that it uses.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::OnceLock;

use super::super::quantize::Group;
use super::super::{BLOCK, Format, STRIP};
use super::avx512vnni::read::{
    Bytes, Codes, Fives, Half, HalfMin, Nibbles, Scales, Sixes, Super, SuperHalves,
};
use super::{Strip, Tiles, Unpacked};

/// Rows of input that are multiplied at once.
const ROWS: usize = 16;
/// How far ahead to ask for memory.
const AHEAD: usize = 4096;

/// Whether processor and system let this process use the registers: Linux gives them to who asks
/// (`ARCH_REQ_XCOMP_PERM` of arch_prctl, Documentation/arch/x86/xstate.rst).
pub(super) fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| has_instructions() && is_allowed())
}

fn has_instructions() -> bool {
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (TILE | INT8) == TILE | INT8
}

#[cfg(target_os = "linux")]
fn is_allowed() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: asks for a permission; touches no memory of ours.
    let refused = unsafe {
        libc::syscall(
            libc::SYS_arch_prctl,
            ARCH_REQ_XCOMP_PERM,
            XFEATURE_XTILEDATA,
        )
    };
    refused == 0
}

#[cfg(not(target_os = "linux"))]
fn is_allowed() -> bool {
    false
}

/// The kernels of a format; plain floats have none.
pub(super) fn tiles(format: Format) -> Option<Tiles> {
    Some(match format {
        Format::Q4_0 => of::<Nibbles, Half>(),
        Format::Q4_1 => of::<Nibbles, HalfMin>(),
        Format::Q5_0 => of::<Fives, Half>(),
        Format::Q5_1 => of::<Fives, HalfMin>(),
        Format::Q8_0 => of::<Bytes, Half>(),
        Format::Q4K => of::<Nibbles, Super>(),
        Format::Q5K => of::<Fives, Super>(),
        Format::Q6K => of::<Sixes, SuperHalves>(),
        Format::F16 | Format::BF16 | Format::F32 => return None,
    })
}

fn of<C: Codes, S: Scales>() -> Tiles {
    Tiles {
        begin: configure,
        end: release,
        unpack: unpack::<C, S>,
        multiply: if S::HALVES {
            multiply_halves
        } else if S::MINIMA {
            multiply::<true>
        } else {
            multiply::<false>
        },
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn unpack<C: Codes, S: Scales>(strip: &Strip, to: &mut Unpacked) {
    let blocks = strip.body.len() / C::BYTES;
    to.codes.resize(blocks * 8, [0; 64]);
    to.scales.resize(blocks, [0.0; STRIP]);
    to.minima
        .resize(if S::MINIMA { blocks } else { 0 }, [0.0; STRIP]);
    to.halves
        .resize(if S::HALVES { blocks } else { 0 }, [[0.0; STRIP]; 2]);
    let zero = _mm512_set1_epi8(if S::MINIMA { 0 } else { C::ZERO as i8 });
    for b in 0..blocks {
        let body = strip.body[b * C::BYTES..].as_ptr();
        if strip.cold {
            for line in 0..C::BYTES / 64 {
                let ahead = body.wrapping_add(AHEAD + line * 64);
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
            }
        }
        // SAFETY: block b is within the strip, and every array has a place for it.
        unsafe {
            for g in 0..4 {
                let (low, high) = C::pair(body, g);
                let codes = to.codes.as_mut_ptr().add(b * 8 + g);
                _mm512_storeu_si512(codes.cast(), _mm512_sub_epi8(low, zero));
                _mm512_storeu_si512(codes.add(4).cast(), _mm512_sub_epi8(high, zero));
            }
            let (scale, min) = S::of(strip.head.as_ptr(), b);
            _mm512_storeu_ps(to.scales[b].as_mut_ptr(), scale);
            if S::MINIMA {
                _mm512_storeu_ps(to.minima[b].as_mut_ptr(), min);
            }
            if S::HALVES {
                for (half, to) in S::halves(strip.head.as_ptr(), b)
                    .into_iter()
                    .zip(&mut to.halves[b])
                {
                    _mm512_storeu_ps(to.as_mut_ptr(), half);
                }
            }
        }
    }
}

/// What every matrix register is used for, as `ldtilecfg` reads it: registers 0 and 1 hold sums,
/// 2 and 4 input and 3 and 5 weights of 32 columns, 6 input and 7 weights of 16.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 32, 64, 32, 64, 16, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 8, 16, 8, 16, 4, 0, 0, 0, 0, 0, 0, 0, 0],
};

unsafe fn configure() {
    // SAFETY: reads 64 bytes; the processor has the instruction.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &SHAPES, options(nostack, preserves_flags)) };
}

/// Without this the registers would be kept at every switch of threads.
unsafe fn release() {
    // SAFETY: the processor has the instruction.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
}

/// Sums of 16 rows of input and 16 of weights.
#[repr(align(64))]
struct Sums([[i32; STRIP]; ROWS]);

/// Multiplies input with a block of weights and stores the sums, by way of three registers.
macro_rules! product {
    ($sum:tt, $input:tt, $weights:tt, $x:expr, $w:expr, $to:expr) => {
        asm!(
            concat!("tilezero ", $sum),
            concat!("tileloadd ", $input, ", [{x} + {x_step}]"),
            concat!("tileloadd ", $weights, ", [{w} + {step}]"),
            concat!("tdpbssd ", $sum, ", ", $input, ", ", $weights),
            concat!("tilestored [{to} + {step}], ", $sum),
            x = in(reg) $x,
            x_step = in(reg) BLOCK,
            w = in(reg) $w,
            step = in(reg) 64usize,
            to = in(reg) $to.0.as_mut_ptr(),
            out($sum) _, out($input) _, out($weights) _,
            options(nostack, preserves_flags),
        )
    };
}

/// The sums of block `b`, in registers by turns so that one product need not wait for another.
#[inline]
unsafe fn product(strip: &Unpacked, group: &Group, b: usize, to: &mut Sums) {
    let x = group.codes[b * ROWS * BLOCK..].as_ptr();
    let w = strip.codes[b * 8..].as_ptr();
    // SAFETY: 16 x 32 and 8 x 64 bytes are read, 16 x 64 written.
    unsafe {
        match b % 2 {
            0 => product!("tmm0", "tmm2", "tmm3", x, w, to),
            _ => product!("tmm1", "tmm4", "tmm5", x, w, to),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn multiply<const MINIMA: bool>(strip: &Unpacked, group: &Group, out: &mut [[f32; STRIP]]) {
    let blocks = strip.scales.len();
    let mut acc = [_mm512_setzero_ps(); ROWS];
    // In turn: the next product is under way while the floats of one are added up.
    let mut sums = [const { Sums([[0; STRIP]; ROWS]) }; 2];
    // SAFETY: strip and group have the same number of blocks, the group 16 rows.
    unsafe {
        product(strip, group, 0, &mut sums[0]);
        for b in 0..blocks {
            if b + 1 < blocks {
                product(strip, group, b + 1, &mut sums[(b + 1) % 2]);
            }
            let sums = &sums[b % 2];
            let scale = _mm512_loadu_ps(strip.scales.get_unchecked(b).as_ptr());
            for (i, acc) in acc.iter_mut().enumerate() {
                let at = b * ROWS + i;
                let value = _mm512_cvtepi32_ps(_mm512_load_si512(sums.0[i].as_ptr().cast()));
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*group.scales.get_unchecked(at)));
                *acc = _mm512_fmadd_ps(scale, value, *acc);
                if MINIMA {
                    let min = _mm512_loadu_ps(strip.minima.get_unchecked(b).as_ptr());
                    let sum = _mm512_set1_ps(*group.sums.get_unchecked(at));
                    *acc = _mm512_fmadd_ps(min, sum, *acc);
                }
            }
        }
        for (acc, out) in acc.iter().zip(out) {
            _mm512_storeu_ps(out.as_mut_ptr(), *acc);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn multiply_halves(strip: &Unpacked, group: &Group, out: &mut [[f32; STRIP]]) {
    let mut acc = [_mm512_setzero_ps(); ROWS];
    let mut sums = [const { Sums([[0; STRIP]; ROWS]) }; 2];
    // SAFETY: strip and group have the same number of blocks, the group 16 rows; a half of them
    // is 16 bytes a row of input and 4 x 64 bytes of weights.
    unsafe {
        for b in 0..strip.scales.len() {
            let x = group.codes[b * ROWS * BLOCK..].as_ptr();
            let w = strip.codes[b * 8..].as_ptr();
            product!("tmm0", "tmm6", "tmm7", x, w, &mut sums[0]);
            product!("tmm1", "tmm6", "tmm7", x.add(16), w.add(4), &mut sums[1]);
            let scale = _mm512_loadu_ps(strip.scales[b].as_ptr());
            let halves = strip.halves[b].map(|half| _mm512_loadu_ps(half.as_ptr()));
            for (i, acc) in acc.iter_mut().enumerate() {
                let dot = |half: usize| {
                    _mm512_cvtepi32_ps(_mm512_load_si512(sums[half].0[i].as_ptr().cast()))
                };
                let second = _mm512_mul_ps(dot(1), halves[1]);
                let value = _mm512_fmadd_ps(dot(0), halves[0], second);
                let at = b * ROWS + i;
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*group.scales.get_unchecked(at)));
                *acc = _mm512_fmadd_ps(scale, value, *acc);
            }
        }
        for (acc, out) in acc.iter().zip(out) {
            _mm512_storeu_ps(out.as_mut_ptr(), *acc);
        }
    }
}
