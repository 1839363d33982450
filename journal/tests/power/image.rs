//! The contents of a file, sector by sector, with a sum that tells contents apart without reading them again.

use std::hash::{DefaultHasher, Hasher as _};

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// A file's bytes.
#[derive(Debug, Clone, Default)]
pub struct Image {
    bytes: Vec<u8>,
    sectors: Vec<u64>,
    sum: u64,
}

impl Image {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Differs whenever the contents differ, but for chance.
    pub fn sum(&self) -> u64 {
        mixed(self.sum, self.bytes.len() as u64)
    }

    /// Writes, and fills a hole before it with zeros.
    pub fn write(&mut self, at: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if self.len() < at + data.len() {
            self.set_len(at + data.len());
        }
        self.bytes[at..at + data.len()].copy_from_slice(data);
        self.sum_again(at / SECTOR, (at + data.len()).div_ceil(SECTOR));
    }

    pub fn set_len(&mut self, len: usize) {
        let before = self.len().min(len) / SECTOR;
        let sectors = len.div_ceil(SECTOR);
        self.sectors.drain(sectors.min(self.sectors.len())..).for_each(|sum| self.sum = self.sum.wrapping_sub(sum));
        self.sectors.resize(sectors, 0);
        self.bytes.resize(len, 0);
        self.sum_again(before, sectors);
    }

    fn sum_again(&mut self, from: usize, to: usize) {
        for sector in from..to {
            let bytes = &self.bytes[sector * SECTOR..self.bytes.len().min((sector + 1) * SECTOR)];
            let mut hasher = DefaultHasher::new();
            hasher.write(bytes);
            let sum = mixed(hasher.finish(), sector as u64);
            self.sum = self.sum.wrapping_sub(self.sectors[sector]).wrapping_add(sum);
            self.sectors[sector] = sum;
        }
    }
}

/// Two numbers made one.
pub fn mixed(a: u64, b: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(a);
    hasher.write_u64(b);
    hasher.finish()
}
