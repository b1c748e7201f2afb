//! Makes a process that shares the memory of this one until it is a program, and may be born in a control group (edge).
//!
//! fork(2) copies the tables of all pages, and each page again that either side writes to; that costs more than all else of
//! a launch. So the new process shares the memory until it becomes a program, as with vfork(2) and posix_spawn(3), and the
//! thread that makes it stands still meanwhile. Laws:
//!
//! - It has a stack of its own, with a page below it that can't be used: it would overwrite what this thread comes back to.
//! - All signals are blocked in this thread, and so in the new process, before it is there: a handler of this process
//!   would run in it, and change what is shared. What runs in it unblocks them once no handler is left.
//! - Only what is async-signal-safe runs in it: it shares the state of locks and of the allocator, whose other users don't
//!   stand still.
//! - It shares nothing else: descriptors, folder, dispositions of signals and user are its own.
//! - Memory is shared with nobody who has another user. The kernel marks the memory of a process that changes its user, and
//!   everybody who shares it would lose core dumps and `/proc`; and that other user can do to the process what it likes.
//!   Then it is copied after all ([`Memory::Copied`]).
//!
//! clone3(2) alone can make a process inside of a control group, from Linux 5.7 on, and has no cover in the C libraries.
//! Where the kernel, a filter of system calls or the group itself refuses it, clone(2) makes the process outside, and it
//! has to enter.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::signal_state::Blocked;
use crate::task::lock;

/// Below the stack nothing can be used, in bytes: the largest page of the processors that there are programs for.
const GUARD_BYTES: usize = 64 * 1024;

/// The stack, in bytes: far more than a few nested calls take. Of that, what is not touched costs nothing.
const STACK_BYTES: usize = 128 * 1024 - REPORT_BYTES;

/// What lies above the stack, in bytes: one line of the cache, which keeps the stack aligned.
const REPORT_BYTES: usize = 64;

/// What is mapped for a new process, in bytes.
const ROOM_BYTES: usize = GUARD_BYTES + STACK_BYTES + REPORT_BYTES;

/// What a process ends with that could not become a program. Nobody sees it but who looks at the processes.
const FAILED: libc::c_int = 127;

/// Whose memory a new process has until it is a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// That of this process.
    Shared,
    /// A copy, as with fork(2): needed by who takes on another user.
    Copied,
}

/// Where a new process begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the control group that it was to be in.
    InGroup,
    /// In those of this process.
    Outside,
}

/// A process that was started. It is this process's child, and not reaped yet.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

/// Why there is no new process.
#[derive(Debug)]
pub(crate) enum Unborn {
    /// None was made.
    Refused(io::Error),
    /// It could not become a program, said this, and is gone.
    Failed(NonZeroU32),
}

/// What runs in a new process until it is a program; what it gives says why it is none.
type Child<'a> = &'a dyn Fn(Place) -> NonZeroU32;

/// Makes a process that runs `child`, which must have it become a program. Gives the process once it is one, or was killed
/// before.
///
/// # Errors
/// [`Unborn`].
///
/// # Safety
/// `child` runs in another process while other threads of this one go on: it makes system calls only, allocates nothing,
/// takes no lock, does not panic, and changes no memory but its own stack. It unblocks no signal that has a handler.
#[expect(
    unsafe_code,
    reason = "what may be done between vfork(2) and execve(2) is less than a closure may do"
)]
pub(crate) unsafe fn start(
    memory: Memory,
    group: Option<BorrowedFd<'_>>,
    child: Child<'_>,
) -> Result<Newborn, Unborn> {
    let refused = |errno: Errno| Unborn::Refused(errno.into());
    let room = Room::of(memory).map_err(refused)?;
    let outcome = born_with(&room, memory, group, child);
    room.leave();
    outcome
}

fn born_with(
    room: &Room,
    memory: Memory,
    group: Option<BorrowedFd<'_>>,
    child: Child<'_>,
) -> Result<Newborn, Unborn> {
    let refused = |errno: Errno| Unborn::Refused(errno.into());
    let _blocked = Blocked::all().map_err(refused)?;
    let newborn = born(room, memory, group, child).map_err(refused)?;
    match NonZeroU32::new(room.report().load(Ordering::Acquire)) {
        None => Ok(newborn),
        Some(said) => {
            // It ends with the next system call. There is nobody else who could wait for it, unless nobody has to.
            let id = WaitId::PidFd(newborn.pidfd.as_fd());
            let _gone = retry_on_intr(|| waitid(id.clone(), WaitIdOptions::EXITED));
            Err(Unborn::Failed(said))
        }
    }
}

/// Makes it in the group, or outside if that is refused: whatever the reason is, entering it or clone(2) fails for
/// the same one, and has a name then.
fn born(
    room: &Room,
    memory: Memory,
    group: Option<BorrowedFd<'_>>,
    child: Child<'_>,
) -> Result<Newborn, Errno> {
    let report = room.report();
    if let Some(group) = group {
        let place = Place::InGroup;
        let job = Job {
            child,
            place,
            report,
        };
        if let Ok(newborn) = born_in_group(room, memory, group, &job) {
            return Ok(newborn);
        }
    }
    let place = Place::Outside;
    let job = Job {
        child,
        place,
        report,
    };
    born_outside(room, memory, &job)
}

/// What a new process finds on its stack.
struct Job<'a> {
    child: Child<'a>,
    place: Place,
    report: &'a AtomicU32,
}

/// Where a new process begins.
extern "C" fn enter(job: *mut c_void) -> libc::c_int {
    #[expect(
        unsafe_code,
        reason = "the kernel hands on no more than a number; exit(3) would run what is to be run at the end of this process"
    )]
    // SAFETY: it is a job of `born`, which stands still until this process is gone or another program. _exit(2) does
    // nothing but to end it.
    unsafe {
        let job = &*job.cast::<Job<'_>>();
        let said = (job.child)(job.place);
        job.report.store(said.get(), Ordering::Release);
        libc::_exit(FAILED)
    }
}

fn flags(memory: Memory) -> libc::c_int {
    let shared = match memory {
        Memory::Shared => libc::CLONE_VM,
        Memory::Copied => 0,
    };
    shared | libc::CLONE_VFORK | libc::CLONE_PIDFD
}

fn born_outside(room: &Room, memory: Memory, job: &Job<'_>) -> Result<Newborn, Errno> {
    let mut pidfd: RawFd = -1;
    #[expect(unsafe_code, reason = "clone(2) has no safe cover")]
    // SAFETY: the stack is mapped, nobody else's, and grows down from a whole line of the cache. The job outlives the call,
    // which comes back once the new process needs neither. The kernel writes the descriptor where it is told to.
    let pid = unsafe {
        libc::clone(
            enter,
            room.top().as_ptr(),
            flags(memory) | libc::SIGCHLD,
            ptr::from_ref(job).cast_mut().cast(),
            &raw mut pidfd,
        )
    };
    if pid == -1 {
        return Err(last());
    }
    Ok(newborn(pid, pidfd))
}

fn born_in_group(
    room: &Room,
    memory: Memory,
    group: BorrowedFd<'_>,
    job: &Job<'_>,
) -> Result<Newborn, Errno> {
    let mut pidfd: RawFd = -1;
    let arguments = CloneArgs {
        flags: u64::from(flags(memory).cast_unsigned()) | INTO_CGROUP,
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: room.stack().as_ptr().expose_provenance() as u64,
        stack_size: STACK_BYTES as u64,
        cgroup: u64::from(group.as_raw_fd().cast_unsigned()),
        ..CloneArgs::default()
    };
    let pid = clone3(&arguments, job)?;
    Ok(newborn(pid, pidfd))
}

fn newborn(pid: libc::pid_t, pidfd: RawFd) -> Newborn {
    #[expect(
        unsafe_code,
        reason = "the kernel writes the number of a descriptor to memory"
    )]
    // SAFETY: with CLONE_PIDFD the kernel has made this descriptor for the process that there is, and nobody knows of it yet.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Newborn {
        pid: Pid::from_raw(pid).expect("the kernel gives a new process a pid above 0"),
        pidfd,
    }
}

/// Why the last call of the C library has failed.
fn last() -> Errno {
    Errno::from_raw_os_error(nix::errno::Errno::last_raw())
}

/// CLONE_INTO_CGROUP, clone(2). It does not fit the type that the C libraries have for flags.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` as it is since Linux 5.7, clone(2).
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Makes a process by clone3(2) that begins with [`enter`], on its own stack, and gives its pid. No cover of a system call
/// can do that for a process that shares memory: both sides would come back from it, by the one address on the stack.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn clone3(arguments: &CloneArgs, job: &Job<'_>) -> Result<libc::pid_t, Errno> {
    let result: isize;
    let (arguments, job) = (ptr::from_ref(arguments), ptr::from_ref(job));
    let enter: extern "C" fn(*mut c_void) -> libc::c_int = enter;
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "clone3(2) has no cover in the C libraries")]
    // SAFETY: the arguments are those of Linux 5.7, they name a stack that is mapped and nobody else's, and outlive the call
    // as the job does. The thread that makes the call comes back behind the instructions below as from any system call,
    // and the kernel has changed no register that is not named. The new process has the same values in its registers but
    // a stack of its own, whose top is aligned as a call needs it; it calls `enter`, which never comes back.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // The new process. Here ends the chain of its frames, for who looks at its stack.
            "xor ebp, ebp",
            "mov rdi, r8",
            "call r9",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") arguments,
            in("rsi") size_of::<CloneArgs>(),
            in("r8") job,
            in("r9") enter,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    #[expect(unsafe_code, reason = "clone3(2) has no cover in the C libraries")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            // The new process. Here ends the chain of its frames, for who looks at its stack.
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x9",
            "blr x10",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") arguments => result,
            in("x1") size_of::<CloneArgs>(),
            in("x9") job,
            in("x10") enter,
        );
    }
    match libc::pid_t::try_from(result) {
        Ok(pid) if pid > 0 => Ok(pid),
        // The kernel gives the error as a negative number.
        Ok(errno) => Err(Errno::from_raw_os_error(-errno)),
        Err(_) => Err(Errno::INVAL),
    }
}

/// Says that it can't be done here: nobody has written down how this processor calls it.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn clone3(_: &CloneArgs, _: &Job<'_>) -> Result<libc::pid_t, Errno> {
    Err(Errno::NOSYS)
}

/// The stack that the next new process may have: mapping one costs a tenth of a launch.
static SPARE: Mutex<Option<Room>> = Mutex::new(None);

/// The stack of one new process, and what it says, above that. It is mapped while the process may use it: the thread that
/// made the process stands still meanwhile.
struct Room {
    base: NonNull<c_void>,
    memory: Memory,
}

#[expect(
    unsafe_code,
    reason = "a pointer to memory that is mapped is good in any thread"
)]
// SAFETY: nothing of a thread is in it, and who has it is the only one who uses what it points to.
unsafe impl Send for Room {}

impl Room {
    /// Takes the spare one, or maps another one.
    fn of(memory: Memory) -> Result<Room, Errno> {
        let spare = match memory {
            Memory::Shared => lock(&SPARE).take(),
            Memory::Copied => None,
        };
        let Some(room) = spare else {
            return Room::map(memory);
        };
        room.report().store(0, Ordering::Release);
        Ok(room)
    }

    fn map(memory: Memory) -> Result<Room, Errno> {
        let sharing = match memory {
            Memory::Shared => libc::MAP_PRIVATE,
            // What a process says that has a copy of all else is to be read here.
            Memory::Copied => libc::MAP_SHARED,
        };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let sharing = sharing | libc::MAP_ANONYMOUS;
        #[expect(unsafe_code, reason = "a guard below a stack needs pages of its own")]
        // SAFETY: it is new memory, and nothing is there yet.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), ROOM_BYTES, access, sharing, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(last());
        }
        let room = Room {
            base: NonNull::new(mapped).expect("mmap(2) maps nothing at 0 unasked"),
            memory,
        };
        #[expect(unsafe_code, reason = "a guard below a stack needs pages of its own")]
        // SAFETY: these are the first pages of it, and nobody uses them.
        let outcome = unsafe { libc::mprotect(mapped, GUARD_BYTES, libc::PROT_NONE) };
        if outcome == -1 {
            let errno = last();
            room.unmap();
            return Err(errno);
        }
        Ok(room)
    }

    /// The lowest address of the stack.
    fn stack(&self) -> NonNull<c_void> {
        self.at(GUARD_BYTES)
    }

    /// The end of the stack, which grows down from here.
    fn top(&self) -> NonNull<c_void> {
        self.at(GUARD_BYTES + STACK_BYTES)
    }

    /// What the new process has said; 0: nothing.
    fn report(&self) -> &AtomicU32 {
        #[expect(
            unsafe_code,
            reason = "what another process writes to lies in memory that was mapped"
        )]
        // SAFETY: it is mapped as long as this is borrowed, aligned, not part of the stack, 0 at first, and only ever used
        // as this type.
        unsafe {
            self.top().cast::<AtomicU32>().as_ref()
        }
    }

    fn at(&self, bytes: usize) -> NonNull<c_void> {
        #[expect(unsafe_code, reason = "an address within what was mapped")]
        // SAFETY: no more than ROOM_BYTES are asked for.
        unsafe {
            self.base.byte_add(bytes)
        }
    }

    /// Leaves it to the next one, or gives it back if there is a spare one. Nobody uses it: the new process is gone, or
    /// another program.
    fn leave(self) {
        if self.memory == Memory::Shared {
            let mut spare = lock(&SPARE);
            if spare.is_none() {
                *spare = Some(self);
                return;
            }
        }
        self.unmap();
    }

    fn unmap(self) {
        #[expect(unsafe_code, reason = "what was mapped is given back")]
        // SAFETY: it is mapped, and this is the end of who had it. It can't fail with what was mapped.
        let _gone = unsafe { libc::munmap(self.base.as_ptr(), ROOM_BYTES) };
    }
}
