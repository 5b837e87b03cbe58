//! Kernel families: the instruction sets for which there are kernels. The best family is chosen at
//! run time.

/// An instruction set for which there are kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFamily {
    /// AVX-512 with matrix registers (AMX) for bytes: Intel servers since Sapphire Rapids.
    Amx,
    /// AVX-512 with VNNI: Intel since Ice Lake, AMD since Zen 4.
    Avx512Vnni,
    /// AVX2 with VNNI: Intel since Alder Lake, without AVX-512.
    AvxVnni,
    /// AVX2 with FMA: x86 since about 2013.
    Avx2,
    /// Portable code that the compiler vectorizes.
    Portable,
}

impl KernelFamily {
    /// All kernel families, from best to worst.
    pub const ALL: [KernelFamily; 5] = [
        KernelFamily::Amx,
        KernelFamily::Avx512Vnni,
        KernelFamily::AvxVnni,
        KernelFamily::Avx2,
        KernelFamily::Portable,
    ];

    /// Returns the best kernel family that this processor supports.
    pub fn best() -> KernelFamily {
        Self::ALL
            .into_iter()
            .find(|family| family.is_supported())
            .unwrap_or(KernelFamily::Portable)
    }

    /// The number of input rows that the kernels process together as one full group.
    pub(crate) fn group_rows(self) -> usize {
        if self == KernelFamily::Amx { 16 } else { 8 }
    }

    /// Whether this processor supports the family.
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

    /// Whether this processor supports the family.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_supported(self) -> bool {
        self == KernelFamily::Portable
    }
}
