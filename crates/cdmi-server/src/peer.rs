//! Whether whoever sent a request is still there.
//!
//! A client that gives a request up closes its connection, and may have done the same change elsewhere by then, and newer ones after it. A
//! server that was stopped or starved meanwhile must not carry the old one out when it goes on: it would land over the newer. So every
//! change looks for its peer first, when nothing is left to wait for.
//!
//! A peer that has shut down only its sending half is taken for gone too, as hyper does. A request that is received whole is enough for those
//! that nobody can give up: the deliberately late ones of tests run outside of any [`scope`].
//!
//! What is left is the moment between the look and the system call that changes the file.

use crate::error::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// The connection of a request; a copy of its socket, which keeps the socket open.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<OwnedFd>);

tokio::task_local! {
    static OF_TASK: Peer;
}

thread_local! {
    static OF_CALL: RefCell<Option<Peer>> = const { RefCell::new(None) };
}

impl Peer {
    /// The peer of a connection.
    pub(crate) fn of(socket: &impl AsFd) -> std::io::Result<Self> {
        Ok(Self(Arc::new(socket.as_fd().try_clone_to_owned()?)))
    }

    fn is_there(&self) -> bool {
        let mut socket = [PollFd::new(&*self.0, PollFlags::RDHUP)];
        let at_once = Timespec::default();
        match poll(&mut socket, Some(&at_once)) {
            Ok(_) => !socket[0]
                .revents()
                .intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR),
            // Nothing is known of it: as without this module.
            Err(_) => true,
        }
    }
}

/// Runs what answers a request of this peer's.
pub(crate) fn scope<F: Future>(peer: Peer, answer: F) -> impl Future<Output = F::Output> {
    OF_TASK.scope(peer, answer)
}

/// The peer of the request that this task answers.
pub(crate) fn of_task() -> Option<Peer> {
    OF_TASK.try_with(Peer::clone).ok()
}

/// Runs a call on this thread for the peer.
pub(crate) fn call<T>(peer: Option<Peer>, call: impl FnOnce() -> T) -> T {
    struct Restore(Option<Peer>);
    impl Drop for Restore {
        fn drop(&mut self) {
            OF_CALL.set(self.0.take());
        }
    }
    let _restore = Restore(OF_CALL.replace(peer));
    call()
}

/// An error where the peer of the call on this thread is gone.
pub(crate) fn still_there() -> Result<()> {
    let gone = OF_CALL.with_borrow(|peer| peer.as_ref().is_some_and(|peer| !peer.is_there()));
    if gone { Err(Error::PeerGone) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn is_gone_soon(peer: &Peer) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            !peer.is_there()
        })
    }

    #[test]
    fn a_peer_that_closed_is_gone_though_what_it_sent_is_there() {
        for ending in ["close", "half", "reset"] {
            let (mut client, server) = pair();
            let peer = Peer::of(&server).unwrap();
            client.write_all(b"PUT / HTTP/1.1\r\n").unwrap();
            assert!(peer.is_there());
            call(Some(peer.clone()), || still_there().unwrap());
            match ending {
                "close" => drop(client),
                "half" => {
                    client.shutdown(Shutdown::Write).unwrap();
                    assert!(is_gone_soon(&peer), "{ending}");
                }
                _ => {
                    socket2::SockRef::from(&client)
                        .set_linger(Some(std::time::Duration::ZERO))
                        .unwrap();
                    drop(client);
                }
            }
            assert!(is_gone_soon(&peer), "{ending}");
            call(Some(peer), || assert!(still_there().is_err()));
            // Without a request nobody is asked.
            still_there().unwrap();
        }
    }
}
