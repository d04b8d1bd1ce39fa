//! Damage at rest that moves bytes instead of changing them: blocks exchanged, doubled, shifted within a file or
//! between files; files under other names; copies of another time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_engine::disk::{Disk, OpenMode};
use streamkit_engine::simulation::Simulated;

use crate::run::Run;

/// What is said where a file is put back as it once was: it may hold what was lost since.
pub const BEFORE: &str = "as it was before";

/// Where moved bytes begin: anywhere, or as sectors and blocks do.
const UNITS: [usize; 4] = [8, 512, 4096, 4096];

/// Moves something of a file, or the file; says what it did.
pub fn move_bytes(run: &mut Run, disk: &Simulated, files: &[PathBuf], path: &Path) -> String {
    let dice = &mut run.dice;
    let own = disk.files()[path].clone();
    // Often its like: what has the same form is more easily taken for it.
    let alike: Vec<&PathBuf> = files
        .iter()
        .filter(|other| other.extension() == path.extension())
        .collect();
    let other = match dice.chance(3, 4) {
        true => alike[dice.below(alike.len() as u64) as usize].clone(),
        false => files[dice.below(files.len() as u64) as usize].clone(),
    };
    let theirs = disk.files()[&other].clone();
    let unit = UNITS[dice.below(4) as usize];
    let length = unit * (1 + dice.below(3) as usize);
    // Where a checkpoint and the end of the open extent are damaged both, that looks like a torn write.
    let is_checkpoint = |path: &Path| path.ends_with("checkpoint");
    let both = is_checkpoint(path) == is_checkpoint(&other);
    let used = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let mut place = |bytes: &[u8]| dice.below((used(bytes).div_ceil(unit) as u64).max(1)) as usize * unit;
    let (from, to, there) = (place(&own), place(&own), place(&theirs));
    match dice.below(8) {
        kind @ 0..=2 => {
            let length = length.min(own.len().saturating_sub(from.max(to)));
            disk.damage(path, |bytes| {
                bytes[to..to + length].copy_from_slice(&own[from..from + length]);
                if kind > 0 {
                    bytes[from..from + length].copy_from_slice(&own[to..to + length]);
                }
            });
            format!("{length} bytes from {from} to {to}, exchanged: {}", kind > 0)
        }
        3 => {
            let keeps_size = dice.chance(1, 2);
            disk.damage(path, |bytes| {
                let at = from.min(bytes.len());
                bytes.splice(at..at, vec![0; length]);
                if keeps_size {
                    bytes.truncate(own.len());
                }
            });
            format!("{length} bytes put in at {from}, of the same size: {keeps_size}")
        }
        4 => {
            disk.damage(path, |bytes| {
                drop(bytes.drain(from.min(own.len())..own.len().min(from + length)))
            });
            format!("{length} bytes taken out at {from}")
        }
        5 => {
            let length = length
                .min(own.len().saturating_sub(from))
                .min(theirs.len().saturating_sub(there));
            disk.damage(path, |bytes| {
                bytes[from..from + length].copy_from_slice(&theirs[there..there + length])
            });
            if path != other && both {
                let back = &own[from..from + length];
                disk.damage(&other, |bytes| bytes[there..there + length].copy_from_slice(back));
            }
            format!(
                "{length} bytes at {from} exchanged with those at {there} of {}",
                other.display()
            )
        }
        6 => {
            let exchanged = dice.chance(1, 2) && both;
            disk.damage(path, |bytes| bytes.clone_from(&theirs));
            if exchanged {
                disk.damage(&other, |bytes| bytes.clone_from(&own));
            }
            format!("{} instead, exchanged: {exchanged}", other.display())
        }
        _ => match run.older.get(path) {
            Some(older) => {
                disk.damage(path, |bytes| bytes.clone_from(older));
                BEFORE.to_owned()
            }
            None => {
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                let _ = shared.open(path, OpenMode::Create);
                "emptied".to_owned()
            }
        },
    }
}
