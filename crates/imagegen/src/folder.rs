//! A folder of weights, loaded file by file.

use super::weights::Weights;
use crate::ImageError;
use base::hash::hexadecimal;
use base::untrusted::clean_key;
use candle_core::{DType, Device, Result};
use candle_nn::VarBuilder;
use kernels::linear::Pool;
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The maximum size of a file in bytes, about a hundred times the size of the largest network's
/// file.
const LARGEST: u64 = 1 << 30;

/// Reads the files of a folder and hashes them.
pub struct WeightsFolder<'a> {
    path: &'a Path,
    device: &'a Device,
    /// The thread pool for products with packed matrices. None on a GPU, where matrices are not
    /// packed.
    pool: Option<Arc<Pool>>,
    digest: Sha256,
}

impl WeightsFolder<'_> {
    pub fn new<'a>(path: &'a Path, device: &'a Device, threads: usize) -> WeightsFolder<'a> {
        WeightsFolder {
            path,
            device,
            pool: device.is_cpu().then(|| Arc::new(Pool::new(threads))),
            digest: Sha256::new(),
        }
    }

    /// Whether the folder contains this file.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    /// Reads and hashes a file, and returns its bytes.
    pub fn read_file(&mut self, name: &str) -> std::result::Result<Vec<u8>, ImageError> {
        let bytes = self.bytes(name)?;
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn bytes(&self, name: &str) -> std::result::Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        let file = File::open(self.path.join(name));
        let read = file.and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        read.map_err(|why| self.unreadable(name, &why))?;
        match bytes.len() as u64 > LARGEST {
            true => Err(self.unreadable(name, &"it is larger than 1 GB")),
            false => Ok(bytes),
        }
    }

    /// Builds a network from the tensors in a file, and hashes the file at the same time.
    pub fn load_network<N>(
        &mut self,
        name: &str,
        new: impl FnOnce(&Weights) -> Result<N>,
    ) -> std::result::Result<N, ImageError> {
        let bytes = self.bytes(name)?;
        let network = std::thread::scope(|scope| {
            scope.spawn(|| self.digest.update(&bytes));
            let tensors = VarBuilder::from_slice_safetensors(&bytes, DType::F32, self.device)?;
            match &self.pool {
                Some(pool) => new(&Weights::packed(tensors, pool.clone())),
                None => new(&Weights::plain(tensors)),
            }
        });
        network.map_err(|why| self.unreadable(name, &why))
    }

    /// Returns the error for a file that cannot be used.
    pub fn unreadable(&self, name: &str, why: &dyn Display) -> ImageError {
        let path = self.path.join(name);
        // The library's message, on one line and without control characters.
        let why = clean_key(&why.to_string());
        ImageError::Illuminator(format!("{}: {why}", path.display()))
    }

    /// Returns the SHA-256 of all files read, in hexadecimal.
    pub fn sha256(self) -> String {
        hexadecimal(&self.digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a file of tensors with this header and tries to load the file. `length` is the
    /// header's length according to the file.
    fn load(header: &[u8], length: u64) -> std::result::Result<(), ImageError> {
        let folder = tempfile::tempdir().unwrap();
        let bytes = [&length.to_le_bytes()[..], header, &[0; 8]].concat();
        std::fs::write(folder.path().join("w"), bytes).unwrap();
        let mut weights = WeightsFolder::new(folder.path(), &Device::Cpu, 1);
        weights.load_network("w", |_| Ok(()))
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let two = |second: &str| {
            format!(
                "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}},\
                 \"b\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{second}}}}}"
            )
        };
        let load = |header: &str| load(header.as_bytes(), header.len() as u64);
        assert!(load(&two("[4,8]")).is_ok());
        for overlapping in ["[0,4]", "[2,6]", "[8,4]", "[4,5000000000]"] {
            assert!(load(&two(overlapping)).is_err(), "{overlapping}");
        }
        let header = two("[4,8]");
        for length in [5_000_000_000, u64::MAX] {
            assert!(super::tests::load(header.as_bytes(), length).is_err());
        }
    }
}
