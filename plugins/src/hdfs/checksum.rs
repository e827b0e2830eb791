//! The checksum that HDFS tells of a file, worked out of the file's bytes: so that what was put is known to be what is
//! there, without reading it back.
//!
//! A CRC for each so many bytes, an MD5 over the CRCs of each block, an MD5 over those of all blocks
//! (`DFSClient.getFileChecksum`, `MD5MD5CRC32FileChecksum` of Hadoop); or one CRC of the whole file (`COMPOSITE-CRC`, from
//! Hadoop 3 on).

use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, Crc, Digest, Table};
use md5::{Digest as _, Md5};
use serde_json::Value;
use weir_core::hex;

/// CRC-32C (Castagnoli).
static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
/// CRC-32 as zlib has it.
static ZLIB: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// How a file's checksum is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    is_castagnoli: bool,
    /// Bytes to a CRC; none for one CRC of the whole file.
    per_crc: Option<usize>,
    /// Bytes to a block.
    block: u64,
}

impl Kind {
    /// As most clusters have it.
    pub(super) fn usual(block: u64) -> Self {
        Self { is_castagnoli: true, per_crc: Some(512), block }
    }

    /// As told in a `FileChecksum` of a file with blocks of `block` bytes. `None`: unknown here.
    fn told(algorithm: &str, block: u64) -> Option<Self> {
        let (how, name) = if let Some(name) = algorithm.strip_prefix("COMPOSITE-") {
            (None, name)
        } else {
            // MD5-of-0MD5-of-512CRC32C
            let rest = algorithm.strip_prefix("MD5-of-")?.split_once("MD5-of-")?.1;
            let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
            (Some(rest[..end].parse().ok().filter(|bytes| *bytes > 0)?), &rest[end..])
        };
        let is_castagnoli = match name {
            "CRC32C" => true,
            "CRC32" => false,
            _ => return None,
        };
        Some(Self { is_castagnoli, per_crc: how, block })
    }
}

/// What the bytes of a file add up to, as they go by.
#[derive(Clone)]
pub(super) struct Sum {
    kind: Kind,
    crc: Digest<'static, u32, Table<16>>,
    /// Bytes in the CRC that is being made.
    in_crc: usize,
    block: Md5,
    /// Bytes in the block that is being made.
    in_block: u64,
    blocks: Vec<u8>,
}

impl Sum {
    /// Of nothing yet.
    pub(super) fn new(kind: Kind) -> Self {
        let crc = kind.crc();
        Self { kind, crc, in_crc: 0, block: Md5::new(), in_block: 0, blocks: Vec::new() }
    }

    /// Of nothing yet, of the same kind.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.kind.clone())
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Takes the bytes that come next.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        let Some(per_crc) = self.kind.per_crc else {
            self.crc.update(bytes);
            return;
        };
        while !bytes.is_empty() {
            // A block ends a CRC, too.
            let room = usize::try_from(self.kind.block.saturating_sub(self.in_block))
                .unwrap_or(usize::MAX);
            let part = (per_crc - self.in_crc).min(room).min(bytes.len());
            let (now, later) = bytes.split_at(part);
            self.crc.update(now);
            self.in_crc += part;
            self.in_block += part as u64;
            bytes = later;
            if self.in_crc == per_crc || self.in_block == self.kind.block {
                self.end_crc();
            }
            if self.in_block == self.kind.block {
                self.end_block();
            }
        }
    }

    fn end_crc(&mut self) {
        let crc = std::mem::replace(&mut self.crc, self.kind.crc());
        self.block.update(crc.finalize().to_be_bytes());
        self.in_crc = 0;
    }

    fn end_block(&mut self) {
        self.blocks.extend_from_slice(&std::mem::take(&mut self.block).finalize());
        self.in_block = 0;
    }

    /// The last part of what HDFS tells, in hexadecimal.
    pub(super) fn finish(mut self) -> String {
        if self.kind.per_crc.is_none() {
            return hex::encode(&self.crc.finalize().to_be_bytes());
        }
        if self.in_crc > 0 {
            self.end_crc();
        }
        if self.in_block > 0 {
            self.end_block();
        }
        // Hadoop takes the whole buffer in which it collected them, zeros behind them included: it begins with 32 bytes and
        // doubles.
        let room = self.blocks.len().next_power_of_two().max(32);
        self.blocks.resize(room, 0);
        hex::encode(&Md5::digest(&self.blocks))
    }
}

impl Kind {
    fn crc(&self) -> Digest<'static, u32, Table<16>> {
        if self.is_castagnoli { CASTAGNOLI.digest() } else { ZLIB.digest() }
    }
}

/// What HDFS tells of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    algorithm: String,
    bytes: String,
    block: u64,
}

impl Told {
    /// Reads a `FileChecksum` of a file with blocks of `block` bytes.
    pub(super) fn read(answer: &Value, block: u64) -> Option<Self> {
        let checksum = &answer["FileChecksum"];
        let text = |name: &str| checksum[name].as_str().map(str::to_ascii_lowercase);
        let mut bytes = text("bytes")?;
        // Behind it stand zeros: Hadoop hands out a whole buffer here, too.
        bytes.truncate(usize::try_from(checksum["length"].as_u64()?).ok()?.saturating_mul(2));
        let algorithm = checksum["algorithm"].as_str()?.to_owned();
        Some(Self { algorithm, bytes, block })
    }

    /// How it was made; `None` if that is unknown here.
    pub(super) fn kind(&self) -> Option<Kind> {
        Kind::told(&self.algorithm, self.block)
    }

    /// The name of the way it was made.
    pub(super) fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Whether it is this one.
    pub(super) fn is(&self, sum: &str) -> bool {
        !sum.is_empty() && self.bytes.ends_with(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_read() {
        let usual = Kind::usual(1024);
        assert_eq!(Kind::told("MD5-of-0MD5-of-512CRC32C", 1024), Some(usual.clone()));
        assert_eq!(Kind::told("MD5-of-2MD5-of-512CRC32C", 1024), Some(usual.clone()));
        let zlib = Kind { is_castagnoli: false, ..usual.clone() };
        assert_eq!(Kind::told("MD5-of-2MD5-of-512CRC32", 1024), Some(zlib));
        let whole = Kind { per_crc: None, ..usual };
        assert_eq!(Kind::told("COMPOSITE-CRC32C", 1024), Some(whole));
        for odd in ["", "MD5", "MD5-of-0MD5-of-0CRC32", "MD5-of-0MD5-of-512XYZ", "COMPOSITE-"] {
            assert_eq!(Kind::told(odd, 1024), None, "{odd}");
        }
    }

    /// As HDFS 2.7.3 told it of files of one and of three blocks.
    #[test]
    fn what_hdfs_tells_is_what_is_worked_out() {
        for (length, block, algorithm, bytes) in [
            (
                1000u32,
                u64::MAX,
                "MD5-of-0MD5-of-512CRC32C",
                "000002000000000000000000675ca8c70f0422389c9fb099d9f9848100000000",
            ),
            (
                2_500_000,
                1 << 20,
                "MD5-of-2048MD5-of-512CRC32C",
                "00000200000000000000080098ca40ec751a61a61b2a88b63132f08100000000",
            ),
        ] {
            let mut sum = Sum::new(Kind::usual(block));
            sum.push(&(0..length).map(|at| (at * 7 % 253) as u8).collect::<Vec<_>>());
            let answer = serde_json::json!({
                "FileChecksum": { "algorithm": algorithm, "bytes": bytes, "length": 28 }
            });
            let told = Told::read(&answer, block).expect("it is one");
            assert_eq!(told.kind(), Some(Kind::usual(block)));
            assert!(told.is(&sum.finish()), "{length}");
        }
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_file_comes() {
        let bytes: Vec<u8> = (0..5000u32).map(|at| (at % 251) as u8).collect();
        let sum = |piece: usize| {
            let mut sum = Sum::new(Kind::usual(2048));
            bytes.chunks(piece).for_each(|piece| sum.push(piece));
            sum.finish()
        };
        let whole = sum(5000);
        for piece in [1, 7, 511, 512, 513, 2048, 4999] {
            assert_eq!(sum(piece), whole, "{piece}");
        }
    }

    #[test]
    fn one_crc_of_the_whole_is_as_everybody_has_it() {
        let mut sum = Sum::new(Kind { is_castagnoli: true, per_crc: None, block: 4 });
        sum.push(b"1234");
        sum.push(b"56789");
        assert_eq!(sum.finish(), "e3069283");
    }
}
