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
use std::path::Path;
use std::sync::Arc;

/// Reads the files of a folder and hashes them.
pub struct WeightsFolder<'a> {
    path: &'a Path,
    device: &'a Device,
    /// The thread pool for products with packed matrices; None on a GPU.
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

    /// Whether the folder has a file.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    /// The bytes of a file.
    pub fn read_file(&mut self, name: &str) -> std::result::Result<Vec<u8>, ImageError> {
        let bytes = self.bytes(name)?;
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn bytes(&self, name: &str) -> std::result::Result<Vec<u8>, ImageError> {
        let bytes = std::fs::read(self.path.join(name));
        bytes.map_err(|why| self.unreadable(name, &why))
    }

    /// Builds a network from the tensors of a file, hashing the file at the same time.
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

    /// The error for a file that cannot be used.
    pub fn unreadable(&self, name: &str, why: &dyn Display) -> ImageError {
        let path = self.path.join(name);
        // The library's message, on one line and without control characters.
        let why = clean_key(&why.to_string());
        ImageError::Illuminator(format!("{}: {why}", path.display()))
    }

    /// SHA-256 of all files read, in hexadecimal.
    pub fn sha256(self) -> String {
        hexadecimal(&self.digest.finalize())
    }
}
