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
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use super::super::quantize::Group;
use super::super::{BLOCK, Format, STRIP};
use super::avx512vnni::read::{
    Bytes, Codes, Fives, Half, HalfMin, Nibbles, Scales, Sixes, Super, SuperHalves,
};
use super::{Strip, Tiles, Unpacked};

/// Rows of input that are multiplied at once.
const ROWS: usize = 16;
/// Bytes of 32 columns of a strip.
const COLUMNS: usize = BLOCK * STRIP;
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
        begin: if S::HALVES {
            configure::<true>
        } else {
            configure::<false>
        },
        end: release,
        unpack: unpack::<C, S>,
        multiply: if S::HALVES {
            multiply::<false, true>
        } else if S::MINIMA {
            multiply::<true, false>
        } else {
            multiply::<false, false>
        },
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn unpack<C: Codes, S: Scales>(strip: &Strip, to: &mut Unpacked) {
    let blocks = strip.body.len() / C::BYTES;
    to.blocks = blocks;
    to.codes.resize(blocks * COLUMNS);
    to.scales.resize(blocks * STRIP);
    to.minima.resize(if S::MINIMA { blocks * STRIP } else { 0 });
    to.halves
        .resize(if S::HALVES { blocks * 2 * STRIP } else { 0 });
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
            let codes = to.codes.as_mut_ptr().add(b * COLUMNS);
            for g in 0..4 {
                let (low, high) = C::pair(body, g);
                let (low, high) = (_mm512_sub_epi8(low, zero), _mm512_sub_epi8(high, zero));
                _mm512_store_si512(codes.add(g * 64).cast(), low);
                _mm512_store_si512(codes.add(g * 64 + 256).cast(), high);
            }
            let (scale, min) = S::of(strip.head.as_ptr(), b);
            _mm512_store_ps(to.scales.as_mut_ptr().add(b * STRIP), scale);
            if S::MINIMA {
                _mm512_store_ps(to.minima.as_mut_ptr().add(b * STRIP), min);
            }
            if S::HALVES {
                let [first, second] = S::halves(strip.head.as_ptr(), b);
                let halves = to.halves.as_mut_ptr().add(b * 2 * STRIP);
                _mm512_store_ps(halves, first);
                _mm512_store_ps(halves.add(STRIP), second);
            }
        }
    }
}

/// What every matrix register is used for, as `ldtilecfg` reads it: registers 0 to 3 hold sums, 4
/// and 5 input, 6 and 7 weights.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const fn shapes(columns: u8) -> Shapes {
    let (bytes, quads) = (columns as u16, columns / 4);
    Shapes {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [64, 64, 64, 64, bytes, bytes, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
        rows: [16, 16, 16, 16, 16, 16, quads, quads, 0, 0, 0, 0, 0, 0, 0, 0],
    }
}

static WHOLE: Shapes = shapes(32);
/// For formats whose blocks have two halves of 16 columns.
static HALVES: Shapes = shapes(16);

unsafe fn configure<const IN_HALVES: bool>() {
    let shapes = if IN_HALVES { &HALVES } else { &WHOLE };
    // SAFETY: reads 64 bytes; the processor has the instruction.
    unsafe { asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, preserves_flags)) };
}

/// Without this the registers would be kept at every switch of threads.
unsafe fn release() {
    // SAFETY: the processor has the instruction.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
}

/// Sums of 16 rows of input and 16 of weights.
#[repr(align(64))]
struct Sums([[i32; STRIP]; ROWS]);

/// Multiplies a piece of input with one of weights and stores the sums, by way of three registers.
macro_rules! product {
    ($sum:tt, $input:tt, $weights:tt, $x:expr, $w:expr, $to:expr) => {
        asm!(
            concat!("tilezero ", $sum),
            concat!("tileloadd ", $input, ", [{x} + {row}]"),
            concat!("tileloadd ", $weights, ", [{w} + {line}]"),
            concat!("tdpbssd ", $sum, ", ", $input, ", ", $weights),
            concat!("tilestored [{to} + {line}], ", $sum),
            x = in(reg) $x,
            row = in(reg) BLOCK,
            w = in(reg) $w,
            line = in(reg) 64usize,
            to = in(reg) $to.as_mut_ptr(),
            out($sum) _, out($input) _, out($weights) _,
            options(nostack, preserves_flags),
        )
    };
}

/// The products of block `b` with the `at`-th 16 rows of it, in registers by turns: an instruction
/// takes long, and the next need not wait for it.
#[inline]
unsafe fn product(x: *const i8, w: *const i8, at: usize, to: &mut [MaybeUninit<Sums>; 2]) {
    // SAFETY: the caller's 16 x 32 and 8 x 64 bytes; 16 x 64 are written.
    unsafe {
        match at % 2 {
            0 => product!("tmm0", "tmm4", "tmm6", x, w, to[0]),
            _ => product!("tmm1", "tmm5", "tmm7", x, w, to[0]),
        }
    }
}

/// The products of both halves of a block.
#[inline]
unsafe fn halves(x: *const i8, w: *const i8, at: usize, to: &mut [MaybeUninit<Sums>; 2]) {
    // SAFETY: the caller's 16 rows of twice 16 and 8 x 64 bytes; twice 16 x 64 are written.
    unsafe {
        match at % 2 {
            0 => {
                product!("tmm0", "tmm4", "tmm6", x, w, to[0]);
                product!("tmm1", "tmm5", "tmm7", x.add(16), w.add(256), to[1]);
            }
            _ => {
                product!("tmm2", "tmm4", "tmm6", x, w, to[0]);
                product!("tmm3", "tmm5", "tmm7", x.add(16), w.add(256), to[1]);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn multiply<const MINIMA: bool, const IN_HALVES: bool>(
    strip: &Unpacked,
    group: &Group,
    out: &mut [[f32; STRIP]],
) {
    let (blocks, groups) = (strip.blocks, group.rows / ROWS);
    // By turns: the next product is under way while the floats of one are added up.
    let mut sums = [const { [const { MaybeUninit::<Sums>::uninit() }; 2] }; 2];
    let start = |at: usize, b: usize, to: &mut [MaybeUninit<Sums>; 2]| {
        // SAFETY: blocks and groups of 16 rows follow each other in strip and input.
        unsafe {
            let x = group.codes.as_ptr().add(at * ROWS * BLOCK);
            let w = strip.codes.as_ptr().add(b * COLUMNS);
            match IN_HALVES {
                true => halves(x, w, at, to),
                false => product(x, w, at, to),
            }
        }
    };
    start(0, 0, &mut sums[0]);
    let mut at = 0;
    for out in out[..group.rows].chunks_exact_mut(ROWS) {
        let mut acc = [_mm512_setzero_ps(); ROWS];
        for b in 0..blocks {
            if at + 1 < blocks * groups {
                start(at + 1, (b + 1) % blocks, &mut sums[(at + 1) % 2]);
            }
            // SAFETY: the sums of `at` are stored; every array has block b, or 16 rows of it.
            unsafe {
                let sums = &sums[at % 2];
                let load = |half: usize, i: usize| {
                    let sums = sums[half].assume_init_ref().0[i].as_ptr();
                    _mm512_cvtepi32_ps(_mm512_load_si512(sums.cast()))
                };
                let scale = _mm512_load_ps(strip.scales.as_ptr().add(b * STRIP));
                for (i, acc) in acc.iter_mut().enumerate() {
                    let mut value = load(0, i);
                    if IN_HALVES {
                        let halves = strip.halves.as_ptr().add(b * 2 * STRIP);
                        let second = _mm512_mul_ps(load(1, i), _mm512_load_ps(halves.add(STRIP)));
                        value = _mm512_fmadd_ps(value, _mm512_load_ps(halves), second);
                    }
                    let input = _mm512_set1_ps(*group.scales.get_unchecked(at * ROWS + i));
                    *acc = _mm512_fmadd_ps(_mm512_mul_ps(scale, input), value, *acc);
                    if MINIMA {
                        let min = _mm512_load_ps(strip.minima.as_ptr().add(b * STRIP));
                        let sum = _mm512_set1_ps(*group.sums.get_unchecked(at * ROWS + i));
                        *acc = _mm512_fmadd_ps(min, sum, *acc);
                    }
                }
            }
            at += 1;
        }
        for (acc, out) in acc.iter().zip(out) {
            // SAFETY: the array has 16 floats.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *acc) };
        }
    }
}
