//! Commands to /dev/ublk-control, each with a deadline.
//!
//! Owns one control ring. The kernel runs a command on a worker of the ring's; a command that outlives its deadline
//! (START_DEV while the partition scan waits for a store, ADD_DEV on a kernel with a bug) is left behind with
//! its memory, so that the caller is never stuck: it gets ETIMEDOUT, and the ring serves no more.
//! Everything here blocks: callers are on a thread that may.

use crate::uapi::{self, Command, DevInfo, Params};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use restblk_device::DeviceError;
use restblk_types::ErrorKind;
use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

/// Where commands go.
pub(crate) const CONTROL_PATH: &str = "/dev/ublk-control";

/// For commands that only look or set. Generous: the kernel may wait for another command's lock.
pub(crate) const QUICK: Duration = Duration::from_secs(10);

/// The kernel's answer to a command that it did not carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) command: &'static str,
    pub(crate) errno: i32,
}

impl Refused {
    /// As an error of the transport; `what` was being done, `next` is what the reader can do about it.
    pub(crate) fn error(self, what: impl std::fmt::Display, next: &str) -> DeviceError {
        let kind = match self.errno {
            libc::ENODEV | libc::ENOENT => ErrorKind::NotFound,
            libc::EPERM | libc::EACCES => ErrorKind::Denied,
            libc::EBUSY => ErrorKind::Busy,
            libc::EEXIST => ErrorKind::Exists,
            libc::EOPNOTSUPP => ErrorKind::Unsupported,
            libc::ENOMEM | libc::ENOSPC => ErrorKind::NoSpace,
            libc::EINVAL => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        let why = io::Error::from_raw_os_error(self.errno);
        DeviceError::new(
            kind,
            format!("{what}: the kernel answered {} with {why}; {next}", self.command),
        )
    }
}

/// An open control device and its ring.
pub(crate) struct Control {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
    file: File,
    spent: bool,
}

impl Control {
    /// Opens the control device. Needs the module and CAP_SYS_ADMIN.
    pub(crate) fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(CONTROL_PATH)?;
        let ring = IoUring::builder().build(4)?;
        Ok(Self {
            ring,
            file,
            spent: false,
        })
    }

    /// [`Self::open`], with an error for people.
    pub(crate) fn connect() -> Result<Self, DeviceError> {
        Self::open().map_err(|e| {
            DeviceError::io(
                format!("open {CONTROL_PATH} (`restblk doctor` says what is missing)"),
                &e,
            )
        })
    }

    /// The feature bits of the driver.
    pub(crate) fn features(&mut self) -> Result<u64, Refused> {
        let mut bits = 0_u64;
        self.exchange(uapi::GET_FEATURES, uapi::ANY_ID, 0, &mut bits, QUICK)?;
        Ok(bits)
    }

    /// Makes a device's character node; `info` comes back with the number and what the kernel made of the wishes.
    pub(crate) fn add(&mut self, info: &mut DevInfo, deadline: Duration) -> Result<(), Refused> {
        self.exchange(uapi::ADD_DEV, info.dev_id, 0, info, deadline)
    }

    /// The kernel's record of a device; ENODEV where there is none of this number.
    pub(crate) fn info(&mut self, dev_id: u32) -> Result<DevInfo, Refused> {
        let mut info = DevInfo::default();
        self.exchange(uapi::GET_DEV_INFO, dev_id, 0, &mut info, QUICK)?;
        Ok(info)
    }

    /// Says what the disk will look like; possible only before the first start.
    pub(crate) fn set_params(&mut self, dev_id: u32, params: &Params) -> Result<(), Refused> {
        let mut params = Params {
            len: Params::LEN,
            ..*params
        };
        self.exchange(uapi::SET_PARAMS, dev_id, 0, &mut params, QUICK)
    }

    /// What the disk looks like.
    pub(crate) fn params(&mut self, dev_id: u32) -> Result<Params, Refused> {
        let mut params = Params {
            len: Params::LEN,
            ..Params::default()
        };
        self.exchange(uapi::GET_PARAMS, dev_id, 0, &mut params, QUICK)?;
        Ok(params)
    }

    /// A command with a number and no memory.
    pub(crate) fn order(
        &mut self,
        command: Command,
        dev_id: u32,
        data: u64,
        deadline: Duration,
    ) -> Result<(), Refused> {
        self.run(command, uapi::control_argument(dev_id, 0, 0, data), deadline)
    }

    /// A command that reads and writes `value` in this process' memory.
    fn exchange<T: Copy>(
        &mut self,
        command: Command,
        dev_id: u32,
        data: u64,
        value: &mut T,
        deadline: Duration,
    ) -> Result<(), Refused> {
        let len = u16::try_from(size_of::<T>()).map_err(|_| Refused {
            command: command.name,
            errno: libc::EINVAL,
        })?;
        // The kernel may write through this pointer until the command is done, so it is no one's borrow until then.
        let memory = Box::into_raw(Box::new(*value));
        let argument = uapi::control_argument(dev_id, memory as u64, len, data);
        let result = self.run(command, argument, deadline);
        if self.spent {
            return result; // the memory stays the kernel's, for ever
        }
        // SAFETY: `memory` came from Box::into_raw above, and the command that knew it has completed.
        *value = unsafe { *Box::from_raw(memory) };
        result
    }

    fn run(&mut self, command: Command, argument: [u8; 80], deadline: Duration) -> Result<(), Refused> {
        let refused = |errno| Refused {
            command: command.name,
            errno,
        };
        if self.spent {
            return Err(refused(libc::ETIMEDOUT));
        }
        let entry = opcode::UringCmd80::new(types::Fd(self.file.as_raw_fd()), command.code)
            .cmd(argument)
            .build();
        // SAFETY: the argument lies in the entry itself; the memory it points to is kept by `exchange` until the
        // command has completed, or for ever.
        unsafe { self.ring.submission().push(&entry) }.map_err(|_| refused(libc::EBUSY))?;
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = types::Timespec::from(left);
            let waited = self
                .ring
                .submitter()
                .submit_with_args(1, &types::SubmitArgs::new().timespec(&timeout));
            if let Some(done) = self.ring.completion().next() {
                return if done.result() < 0 {
                    Err(refused(-done.result()))
                } else {
                    Ok(())
                };
            }
            match waited.as_ref().map_err(io::Error::raw_os_error) {
                Ok(_) | Err(Some(libc::EINTR)) => {}
                Err(Some(libc::ETIME)) => {
                    self.spent = true;
                    return Err(refused(libc::ETIMEDOUT));
                }
                Err(other) => {
                    // Whether the command was taken is unknown, so its memory must be presumed in use.
                    self.spent = true;
                    return Err(refused(other.unwrap_or(libc::EIO)));
                }
            }
        }
    }
}
