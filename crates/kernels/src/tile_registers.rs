//! Detects and configures the processor's tile registers (AMX), and requests permission to use
//! them.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// The bit of `cpuid` leaf 7 that says whether the tile registers can multiply signed bytes.
pub const INT8: u32 = 1 << 25;
/// The bit of `cpuid` leaf 7 that says whether the tile registers can multiply bfloat16 values.
pub const BF16: u32 = 1 << 22;

/// Whether the tile registers can be used for the given kinds of product ([`INT8`], [`BF16`] or
/// both): the CPU supports them, and the operating system permits this process to use them.
pub fn are_available(products: u32) -> bool {
    has(products) && are_permitted()
}

fn has(products: u32) -> bool {
    const TILE: u32 = 1 << 24;
    let wanted = TILE | products;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & wanted == wanted
}

/// Whether the operating system permits this process to use the tile registers. Linux grants the
/// permission on request (`ARCH_REQ_XCOMP_PERM` of arch_prctl, Documentation/arch/x86/xstate.rst),
/// so the first call requests it.
#[cfg(target_os = "linux")]
fn are_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        // SAFETY: requests a permission; accesses none of our memory.
        let refused = unsafe {
            libc::syscall(
                libc::SYS_arch_prctl,
                ARCH_REQ_XCOMP_PERM,
                XFEATURE_XTILEDATA,
            )
        };
        refused == 0
    })
}

#[cfg(not(target_os = "linux"))]
fn are_permitted() -> bool {
    false
}

/// The shape of every tile register, in the form that the instruction `ldtilecfg` loads.
#[repr(C, align(64))]
pub struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl TileConfig {
    /// Creates a configuration of the eight registers from the bytes per row and the number of rows
    /// of each register.
    pub const fn new(row_bytes: [u16; 8], rows: [u8; 8]) -> TileConfig {
        let mut shapes = TileConfig {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let mut at = 0;
        while at < 8 {
            shapes.row_bytes[at] = row_bytes[at];
            shapes.rows[at] = rows[at];
            at += 1;
        }
        shapes
    }
}

/// Loads the shapes of the tile registers.
///
/// # Safety
/// The registers are available ([`are_available`]).
#[inline]
pub unsafe fn load_config(shapes: &'static TileConfig) {
    // SAFETY: reads 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, preserves_flags)) };
}

/// Releases the tile registers. Otherwise, the system would save their contents at every thread
/// switch.
///
/// # Safety
/// The registers are available ([`are_available`]).
#[inline]
pub unsafe fn release() {
    // SAFETY: guaranteed by the caller.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
}
