//! Kernel families: the sets of instructions that kernels are written for, the best of which is
//! found at run time.

/// A set of instructions that kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFamily {
    /// AVX-512 with matrix registers for bytes: Intel's servers from Sapphire Rapids.
    Amx,
    /// AVX-512 with VNNI: Intel from Ice Lake, AMD from Zen 4.
    Avx512Vnni,
    /// AVX2 with VNNI: Intel without AVX-512 from Alder Lake.
    AvxVnni,
    /// AVX2 with FMA: x86 from about 2013.
    Avx2,
    /// Portable code, as the compiler vectorizes it.
    Portable,
}

impl KernelFamily {
    /// Every family, the best first.
    pub const ALL: [KernelFamily; 5] = [
        KernelFamily::Amx,
        KernelFamily::Avx512Vnni,
        KernelFamily::AvxVnni,
        KernelFamily::Avx2,
        KernelFamily::Portable,
    ];

    /// The best family of this processor.
    pub fn best() -> KernelFamily {
        Self::ALL
            .into_iter()
            .find(|family| family.is_supported())
            .unwrap_or(KernelFamily::Portable)
    }

    /// Rows of input in a whole group.
    pub(crate) fn group_rows(self) -> usize {
        if self == KernelFamily::Amx { 16 } else { 8 }
    }

    /// Whether this processor has the instructions.
    #[cfg(target_arch = "x86_64")]
    pub fn is_supported(self) -> bool {
        use crate::tile_registers;
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        match self {
            KernelFamily::Amx => {
                KernelFamily::Avx512Vnni.is_supported()
                    && tile_registers::are_available(tile_registers::INT8)
            }
            KernelFamily::Avx512Vnni => {
                avx2 && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
            }
            KernelFamily::AvxVnni => avx2 && is_x86_feature_detected!("avxvnni"),
            KernelFamily::Avx2 => avx2,
            KernelFamily::Portable => true,
        }
    }

    /// Whether this processor has the instructions.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_supported(self) -> bool {
        self == KernelFamily::Portable
    }
}
