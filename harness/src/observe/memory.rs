//! The memory of processes, as /proc tells it. (edge)

use std::fs;

/// The memory that a group of processes can't share with strangers through a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that lie in no file, each divided by the number of processes that share it, and what
    /// of them is swapped out. What lies in a file, the program for one, is shared with whoever uses it,
    /// and comes and goes with them. That of tmpfs is not told from that of no file, and left out too.
    pub own_bytes: u64,
    /// Bytes of page tables. Of the kernel's memory, /proc tells only these by process; buffers of
    /// pipes, inodes and the stacks of threads in the kernel are not in it.
    pub page_table_bytes: u64,
}

/// The memory of these processes; none if it can't be read of one that lives.
#[must_use]
pub fn memory(pids: &[i32]) -> Option<Memory> {
    let mut sum = Memory::default();
    for &pid in pids.iter().filter(|pid| super::process::lives(**pid)) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        let one = rollup
            .ok()
            .zip(status.ok())
            .and_then(|(rollup, status)| parse(&rollup, &status));
        match one {
            Some(one) => {
                sum.own_bytes += one.own_bytes;
                sum.page_table_bytes += one.page_table_bytes;
            }
            // It may have ended meanwhile.
            None if super::process::lives(pid) => return None,
            None => {}
        }
    }
    Some(sum)
}

/// From the texts of `smaps_rollup` and `status` (`proc_pid_smaps(5)`, `proc_pid_status(5)`).
fn parse(rollup: &str, status: &str) -> Option<Memory> {
    let kib = |text: &str, key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let own = kib(rollup, "Pss_Anon:")? + kib(rollup, "SwapPss:").unwrap_or(0);
    Some(Memory {
        own_bytes: own * 1024,
        page_table_bytes: kib(status, "VmPTE:")? * 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_file_is_not_counted() {
        let rollup = "55d-7ff ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss: 500 kB\n\
                      Pss_Anon: 100 kB\nPss_File: 380 kB\nPss_Shmem: 20 kB\nSwapPss: 3 kB\n";
        let status = "Name:\tx\nVmPTE:\t      44 kB\n";
        let memory = parse(rollup, status).unwrap();
        assert_eq!(memory.own_bytes, 103 * 1024);
        assert_eq!(memory.page_table_bytes, 44 * 1024);
        assert_eq!(parse("Pss: 500 kB\n", status), None);
    }

    #[test]
    fn memory_of_this_process_can_be_read_and_grows() {
        let me = i32::try_from(std::process::id()).unwrap();
        let before = memory(&[me]).unwrap();
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = memory(&[me]).unwrap();
        // Other tests use and free some meanwhile.
        assert!(
            after.own_bytes > before.own_bytes + (16 << 20),
            "{before:?} {after:?}"
        );
        drop(block);
        assert_eq!(memory(&[i32::MAX]), Some(Memory::default()));
    }
}
