//! The signal mask of this library's threads.
//!
//! A signal that is delivered to one of these threads does not interrupt nginx's `epoll_wait`: a SIGHUP or SIGCHLD
//! would wait for the next event. So each of them starts with all signals blocked.

#![expect(unsafe_code, reason = "the signal mask is set by libc")]

use std::mem::MaybeUninit;

/// Blocks all signals in this thread until it is dropped. Threads started meanwhile inherit the mask and keep it.
pub struct AllBlocked {
    before: libc::sigset_t,
}

impl AllBlocked {
    pub fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: sigfillset writes the whole set, pthread_sigmask the whole previous one; with SIG_SETMASK and valid
        // pointers it cannot fail (POSIX: EINVAL only for a bad `how`).
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self { before: before.assume_init() }
        }
    }
}

impl Default for AllBlocked {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        // SAFETY: `before` was written by pthread_sigmask.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}
