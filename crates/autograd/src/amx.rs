//! Multiplies packed tiles in the CPU's matrix registers.
//!
//! The compiler does not track these registers; each block of assembly names the ones that it uses.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

use super::tiles::{SIDE, Tile};
use kernels::tile_registers::{self, TileConfig};
use std::arch::asm;

/// Whether the CPU has the AMX and AVX-512 instructions that this crate uses, and the operating
/// system enables the matrix registers.
pub fn is_supported() -> bool {
    is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
        && tile_registers::are_available(tile_registers::BF16)
}

/// The configuration in which every matrix register has its full size.
static WHOLE: TileConfig = TileConfig::new([64; 8], [16; 8]);

/// Configures the registers for [`add`].
///
/// # Safety
///
/// [`is_supported`] must be true.
pub unsafe fn begin() {
    // SAFETY: guaranteed by the caller.
    unsafe { tile_registers::load_config(&WHOLE) };
}

/// Multiplies two row strips by two column strips, each `steps` tiles long, and adds the products
/// to 32 by 32 sums. `stride` is the distance in bytes between two rows of the sums. Each strip is
/// passed as a pointer to its first tile and the distance in bytes from one tile to the next. This
/// distance must be the same for both row strips, and the same for both column strips.
///
/// # Safety
///
/// [`begin`] was called on this thread, each strip has `steps` tiles, and `sums` points to 32 rows
/// of 32 sums.
pub unsafe fn add(
    rows: [(*const Tile, usize); 2],
    columns: [(*const Tile, usize); 2],
    steps: usize,
    sums: *mut f32,
    stride: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let below = sums.cast::<u8>().add(SIDE * stride);
        asm!(
            "tileloadd tmm0, [r10 + r8]",
            "tileloadd tmm1, [r10 + r8 + 64]",
            "tileloadd tmm2, [r11 + r8]",
            "tileloadd tmm3, [r11 + r8 + 64]",
            "2:",
            "tileloadd tmm4, [rsi + r9]",
            "tileloadd tmm6, [rdx + r9]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [rcx + r9]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [rdi + r9]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add rsi, rax",
            "add rdi, rax",
            "add rdx, r12",
            "add rcx, r12",
            "dec {steps}",
            "jnz 2b",
            "tilestored [r10 + r8], tmm0",
            "tilestored [r10 + r8 + 64], tmm1",
            "tilestored [r11 + r8], tmm2",
            "tilestored [r11 + r8 + 64], tmm3",
            steps = inout(reg) steps.max(1) => _,
            inout("rsi") rows[0].0 => _,
            inout("rdi") rows[1].0 => _,
            inout("rdx") columns[0].0 => _,
            inout("rcx") columns[1].0 => _,
            in("rax") rows[0].1,
            in("r12") columns[0].1,
            in("r8") stride,
            in("r9") 64usize,
            in("r10") sums,
            in("r11") below,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
