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
/// and 5 input, 6 and 7 weights of 32 columns.
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

/// Sums of 16 rows of input and 16 of weights, of two products.
#[repr(align(64))]
struct Sums([[[i32; STRIP]; ROWS]; 2]);

/// Multiplies two pieces of input with two of weights, `step` bytes apart each, and stores the
/// sums. Two at once, since an instruction takes long and need not wait for another.
macro_rules! products {
    ($first:tt, $second:tt, $x:expr, $x_step:expr, $w:expr, $w_step:expr, $to:expr) => {
        asm!(
            concat!("tilezero ", $first),
            concat!("tilezero ", $second),
            "tileloadd tmm4, [{x} + {row}]",
            "tileloadd tmm6, [{w} + {line}]",
            concat!("tdpbssd ", $first, ", tmm4, tmm6"),
            "tileloadd tmm5, [{x} + {row} + {x_step}]",
            "tileloadd tmm7, [{w} + {line} + {w_step}]",
            concat!("tdpbssd ", $second, ", tmm5, tmm7"),
            concat!("tilestored [{to} + {line}], ", $first),
            concat!("tilestored [{to} + {line} + 1024], ", $second),
            x = in(reg) $x,
            row = in(reg) BLOCK,
            x_step = const $x_step,
            w = in(reg) $w,
            w_step = const $w_step,
            line = in(reg) 64usize,
            to = in(reg) $to.as_mut_ptr(),
            out($first) _, out($second) _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags),
        )
    };
}

/// The products of blocks `b` and `b + 1`, in registers by turns.
#[inline]
unsafe fn two_blocks(strip: &Unpacked, group: &Group, b: usize, to: &mut MaybeUninit<Sums>) {
    let x = group.codes[b * ROWS * BLOCK..].as_ptr();
    let w = strip.codes[b * COLUMNS..].as_ptr();
    // SAFETY: 16 x 32 and 8 x 64 bytes are read, 16 x 64 written, of each.
    unsafe {
        match b % 4 {
            0 => products!("tmm0", "tmm1", x, ROWS * BLOCK, w, 512, to),
            _ => products!("tmm2", "tmm3", x, ROWS * BLOCK, w, 512, to),
        }
    }
}

/// The product of block `b` alone.
#[inline]
unsafe fn one_block(strip: &Unpacked, group: &Group, b: usize, to: &mut MaybeUninit<Sums>) {
    let x = group.codes[b * ROWS * BLOCK..].as_ptr();
    let w = strip.codes[b * COLUMNS..].as_ptr();
    // SAFETY: the same block twice.
    unsafe { products!("tmm0", "tmm1", x, 0, w, 0, to) };
}

/// The products of both halves of block `b`.
#[inline]
unsafe fn two_halves(strip: &Unpacked, group: &Group, b: usize, to: &mut MaybeUninit<Sums>) {
    let x = group.codes[b * ROWS * BLOCK..].as_ptr();
    let w = strip.codes[b * COLUMNS..].as_ptr();
    // SAFETY: 16 rows of 16 and 4 x 64 bytes are read, 16 x 64 written, of each.
    unsafe {
        match b % 2 {
            0 => products!("tmm0", "tmm1", x, 16, w, 256, to),
            _ => products!("tmm2", "tmm3", x, 16, w, 256, to),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn multiply<const MINIMA: bool>(strip: &Unpacked, group: &Group, out: &mut [[f32; STRIP]]) {
    let blocks = strip.blocks;
    let mut acc = [_mm512_setzero_ps(); ROWS];
    // By turns: the next products are under way while the floats of these are added up.
    let mut sums = [const { MaybeUninit::<Sums>::uninit() }; 2];
    // SAFETY: strip and group have the same number of blocks, the group 16 rows; sums are read
    // after they were stored.
    unsafe {
        let start = |b: usize, to: &mut MaybeUninit<Sums>| match blocks - b {
            0 => {}
            1 => one_block(strip, group, b, to),
            _ => two_blocks(strip, group, b, to),
        };
        start(0, &mut sums[0]);
        for b in (0..blocks).step_by(2) {
            start((b + 2).min(blocks), &mut sums[(b / 2 + 1) % 2]);
            let sums = sums[b / 2 % 2].assume_init_ref();
            for b in b..(b + 2).min(blocks) {
                let scale = _mm512_load_ps(strip.scales.as_ptr().add(b * STRIP));
                for (i, acc) in acc.iter_mut().enumerate() {
                    let at = b * ROWS + i;
                    let dot = _mm512_load_si512(sums.0[b % 2][i].as_ptr().cast());
                    let input = _mm512_set1_ps(*group.scales.get_unchecked(at));
                    let scale = _mm512_mul_ps(scale, input);
                    *acc = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot), *acc);
                    if MINIMA {
                        let min = _mm512_load_ps(strip.minima.as_ptr().add(b * STRIP));
                        let sum = _mm512_set1_ps(*group.sums.get_unchecked(at));
                        *acc = _mm512_fmadd_ps(min, sum, *acc);
                    }
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
    let blocks = strip.blocks;
    let mut acc = [_mm512_setzero_ps(); ROWS];
    let mut sums = [const { MaybeUninit::<Sums>::uninit() }; 2];
    // SAFETY: as above.
    unsafe {
        two_halves(strip, group, 0, &mut sums[0]);
        for b in 0..blocks {
            if b + 1 < blocks {
                two_halves(strip, group, b + 1, &mut sums[(b + 1) % 2]);
            }
            let sums = sums[b % 2].assume_init_ref();
            let scale = _mm512_load_ps(strip.scales.as_ptr().add(b * STRIP));
            let halves = strip.halves.as_ptr().add(b * 2 * STRIP);
            let halves = [_mm512_load_ps(halves), _mm512_load_ps(halves.add(STRIP))];
            for (i, acc) in acc.iter_mut().enumerate() {
                let dot = |half: usize| {
                    _mm512_cvtepi32_ps(_mm512_load_si512(sums.0[half][i].as_ptr().cast()))
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
