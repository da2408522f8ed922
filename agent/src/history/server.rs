//! The socket of an agent. Few may ask at a time, and none for long: whoever sends or reads too
//! slowly is left alone.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::fd::AsFd as _,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _, chown},
        net::UnixStream as BlockingStream,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::SinkExt;
use nix::unistd::{Gid, Group};
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixSocket, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_stream::StreamExt as _;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::{
    Memory, lock,
    protocol::{Answer, Head, Request, answers, frame, requests},
};

/// Who may ask at the same time.
const MOST_CLIENTS: usize = 4;
/// Until a request is there.
const PATIENCE: Duration = Duration::from_secs(2);
/// Until an answer is taken.
const PATIENCE_TO_TELL: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 16;

const FOLDER_MODE: u32 = 0o755;
const OWNER_ONLY: u32 = 0o600;
const WITH_GROUP: u32 = 0o660;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// A path.
    pub path: PathBuf,
    /// Who may ask beside the agent's user: the name or the number of a group.
    pub group: Option<String>,
}

/// Why an agent does not listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// An agent listens there.
    #[error("{}: another agent listens there; give this one another --history-socket", .0.display())]
    InUse(PathBuf),
    /// It is no socket.
    #[error("{}: there is something that is no socket; remove it, or give another --history-socket", .0.display())]
    NoSocket(PathBuf),
    /// There is no such group.
    #[error("there is no group `{0}`; give one that there is as history.group")]
    NoGroup(String),
    /// A call failed.
    #[error("{}: {doing} failed ({source})", path.display())]
    Io {
        /// The socket, or its folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Tells what a store remembers. Dropped, it listens no more, and its socket is gone.
#[derive(Debug)]
pub(super) struct Server {
    path: PathBuf,
    listening: JoinHandle<()>,
}

impl Server {
    /// Listens, inside the runtime.
    pub(super) fn start(
        socket: &Socket,
        memory: Arc<Mutex<Memory>>,
    ) -> Result<Server, ListenError> {
        let listener = listen(socket)?;
        Ok(Server {
            path: socket.path.clone(),
            listening: tokio::spawn(accept(listener, memory)),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
        // Who has removed it already did no harm.
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(socket: &Socket) -> Result<UnixListener, ListenError> {
    let path = &socket.path;
    let group = socket.group.as_deref().map(group).transpose()?;
    let tried = |doing| move |source| failed(path, doing, source);
    if let Some(folder) = path.parent() {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder);
        made.map_err(|source| failed(folder, "making the folder", source))?;
    }
    remove_stale(path)?;
    let unbound = UnixSocket::new_stream().map_err(tried("making a socket"))?;
    // Before it has a name, so that nobody comes in between.
    let file = unbound.as_fd().try_clone_to_owned().map(File::from);
    file.and_then(|file| file.set_permissions(Permissions::from_mode(OWNER_ONLY)))
        .map_err(tried("setting its mode"))?;
    unbound.bind(path).map_err(tried("binding it"))?;
    if let Some(group) = group {
        chown(path, None, Some(group.as_raw())).map_err(tried("giving it to the group"))?;
    }
    let mode = group.map_or(OWNER_ONLY, |_| WITH_GROUP);
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(tried("setting its mode"))?;
    unbound.listen(BACKLOG).map_err(tried("listening on it"))
}

/// Removes the socket of an agent that is gone.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path, "looking at it", error)),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(ListenError::NoSocket(path.into()));
        }
        Ok(_) => {}
    }
    match BlockingStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| failed(path, "removing it", error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(ListenError::InUse(path.into())),
        Err(error) => Err(failed(path, "connecting to it", error)),
    }
}

fn group(name: &str) -> Result<Gid, ListenError> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(name).ok().flatten();
    found
        .map(|group| group.gid)
        .ok_or_else(|| ListenError::NoGroup(name.to_owned()))
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> ListenError {
    ListenError::Io {
        path: path.into(),
        doing,
        source,
    }
}

async fn accept(listener: UnixListener, memory: Arc<Mutex<Memory>>) {
    let room = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // Whoever finds no room sees the connection end.
        if let Ok(place) = Arc::clone(&room).try_acquire_owned() {
            tokio::spawn(serve(stream, Arc::clone(&memory), place));
        }
    }
}

async fn serve(mut stream: UnixStream, memory: Arc<Mutex<Memory>>, _place: OwnedSemaphorePermit) {
    let (reading, writing) = stream.split();
    let mut requests = FramedRead::new(reading, requests());
    let Ok(Some(Ok(request))) = timeout(PATIENCE, requests.next()).await else {
        return;
    };
    let frames = answer(&request, &memory);
    let mut answers = FramedWrite::new(writing, answers());
    let tell = async {
        for frame in frames {
            answers.feed(frame).await?;
        }
        SinkExt::<Bytes>::flush(&mut answers).await
    };
    // A client that went away or reads too slowly has no answer.
    let _ = timeout(PATIENCE_TO_TELL, tell).await;
}

/// The frames of an answer.
fn answer(request: &[u8], memory: &Mutex<Memory>) -> Vec<Bytes> {
    let window = match Request::parse(request) {
        Ok(request) => request.window,
        Err(error) => {
            let why = format!("the request cannot be answered: {error}");
            return head(Answer::Refused(why));
        }
    };
    let (origin, found) = {
        let memory = lock(memory);
        (memory.origin(), memory.store.find(window))
    };
    let Some(found) = found else {
        return head(Answer::Nothing(origin));
    };
    let Ok(names) = found.names.encode() else {
        return head(Answer::Refused("the names cannot be encoded".into()));
    };
    let mut frames = head(Answer::Found {
        origin,
        extent: found.extent,
        slices: found.slices.len(),
    });
    frames.push(names.into());
    frames.extend(found.slices);
    frames
}

/// Nothing, should it have no form in JSON: the client sees the connection end.
fn head(answer: Answer) -> Vec<Bytes> {
    let head = frame(&Head::new(answer)).ok();
    head.map(Bytes::from).into_iter().collect()
}
