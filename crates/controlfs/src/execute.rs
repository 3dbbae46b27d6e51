//! Doing what was written: a command becomes calls of the API, their errors become errno.

use crate::command::Command;
use crate::control::{Control, device_name};
use crate::errno::{Refusal, Verb};
use crate::node::{Node, Scope};
use crate::urls;
use nix::errno::Errno;
use restblk_api::{
    AttachRequest, Attachment, CreateVolume, Deletion, DetachRequest, Layout, TransportChoice,
};
use restblk_types::{ByteCount, PoolName, VolumeName, VolumeRef};

type Done = Result<(), Refusal>;

/// Reads and does what was written to `node`, and notes how it ended.
pub(crate) async fn write(control: &Control, node: &Node, text: &[u8]) -> Done {
    let (scope, read, file) = match node {
        Node::File(scope, file) => (scope, Command::read(*file, text), format!("{file:?}")),
        Node::DeviceFile(scope, _, file) => {
            (scope, Command::read_device(*file, text), "srb_debug".to_owned())
        }
        _ => return Err(Refusal::new(Errno::EISDIR, "it is a folder")),
    };
    let what = format!(
        "{} {}",
        file.to_lowercase(),
        String::from_utf8_lossy(text).trim_end()
    );
    let command = match read {
        Ok(command) => command,
        Err(refusal) => {
            let ended = Err(refusal);
            control.log(scope, None, &what, &ended);
            return ended;
        }
    };
    let pool = control.pool(scope);
    let volume = volume_of(&command).map(|volume| VolumeRef::new(pool.clone(), volume.clone()));
    let ended = match tokio::time::timeout(control.patience, run(control, scope, node, command)).await {
        Ok(ended) => ended,
        Err(_) => Err(Refusal::new(
            Errno::EIO,
            format!("no answer within {} s", control.patience.as_secs()),
        )),
    };
    control.log(scope, volume.as_ref(), &what, &ended);
    ended
}

fn volume_of(command: &Command) -> Option<&VolumeName> {
    match command {
        Command::Create(name, _)
        | Command::Extend(name, _)
        | Command::Destroy(name)
        | Command::Attach(name, _) => Some(name),
        Command::AddUrls(_) | Command::RemoveUrls(_) | Command::Detach(_) | Command::Debug(_) => None,
    }
}

async fn run(control: &Control, scope: &Scope, node: &Node, command: Command) -> Done {
    let pool = control.pool(scope);
    let volume = |name| VolumeRef::new(pool.clone(), name);
    match command {
        Command::AddUrls(list) => urls::add(control, pool, &list).await,
        Command::RemoveUrls(list) => urls::remove(control, pool, &list).await,
        Command::Create(name, size) => create(control, volume(name), size).await,
        Command::Extend(name, size) => extend(control, &volume(name), size).await,
        Command::Destroy(name) => destroy(control, &volume(name)).await,
        Command::Attach(name, device) => attach(control, volume(name), device).await,
        Command::Detach(device) => detach(control, pool, &device).await,
        Command::Debug(level) => debug(control, pool, node, level).await,
    }
}

async fn create(control: &Control, volume: VolumeRef, size: ByteCount) -> Done {
    let request = CreateVolume {
        volume,
        size,
        layout: Layout::Direct,
        block_size: None,
        durability: restblk_types::Durability::Local,
        compression: None,
        encrypt: false,
        key: None,
    };
    let created = control.client.create_volume(&request).await;
    created
        .map(drop)
        .map_err(|error| Refusal::of(Verb::Create, error))
}

async fn extend(control: &Control, volume: &VolumeRef, size: ByteCount) -> Done {
    let refuse = |error| Refusal::of(Verb::Extend, error);
    let now = control.client.volume(volume).await.map_err(refuse)?.size;
    if size <= now {
        return Err(Refusal::new(
            Errno::EINVAL,
            format!("{volume} has {} bytes already", now.0),
        ));
    }
    control
        .client
        .extend_volume(volume, size)
        .await
        .map(drop)
        .map_err(refuse)
}

async fn destroy(control: &Control, volume: &VolumeRef) -> Done {
    control
        .client
        .delete_volume(volume, Deletion::AsConfigured)
        .await
        .map(drop)
        .map_err(|error| Refusal::of(Verb::Destroy, error))
}

async fn attach(control: &Control, volume: VolumeRef, device: String) -> Done {
    let refuse = |error| Refusal::of(Verb::Attach, error);
    let attachments = control.client.attachments().await.map_err(refuse)?;
    if attachments.iter().any(|attachment| attachment.volume == volume) {
        return Err(Refusal::new(
            Errno::EEXIST,
            format!("{volume} is attached already"),
        ));
    }
    // Also the kernel's own names: `detach` could not tell which is meant.
    let taken = |attachment: &&Attachment| names(attachment).any(|name| name == device);
    if let Some(other) = attachments.iter().find(taken) {
        return Err(Refusal::new(
            Errno::EINVAL,
            format!("{} is a device already: {}", device, other.volume),
        ));
    }
    let request = AttachRequest {
        volume,
        transport: TransportChoice::Auto,
        persist: false,
        read_only: false,
        force: false,
        queues: 0,
        alias: Some(device),
        key: None,
    };
    control.client.attach(&request).await.map(drop).map_err(refuse)
}

async fn detach(control: &Control, pool: &PoolName, device: &str) -> Done {
    let refuse = |error| Refusal::of(Verb::Detach, error);
    let attachments = control.client.attachments().await.map_err(refuse)?;
    let volume = volume_behind(&attachments, pool, device)?;
    control
        .client
        .detach(&volume, &DetachRequest::default())
        .await
        .map_err(refuse)?;
    control.forget_level(&volume);
    Ok(())
}

async fn debug(control: &Control, pool: &PoolName, node: &Node, level: u8) -> Done {
    let Node::DeviceFile(_, device, _) = node else {
        return Err(Refusal::new(Errno::EINVAL, "only a device has a level"));
    };
    let attachments = control
        .client
        .attachments()
        .await
        .map_err(|error| Refusal::of(Verb::Read, error))?;
    control.set_level(volume_behind(&attachments, pool, device)?, level);
    Ok(())
}

/// The volume of a device of this pool.
fn volume_behind(attachments: &[Attachment], pool: &PoolName, device: &str) -> Result<VolumeRef, Refusal> {
    let found = attachments
        .iter()
        .find(|attachment| attachment.volume.pool == *pool && device_name(attachment) == Some(device));
    found
        .map(|attachment| attachment.volume.clone())
        .ok_or_else(|| Refusal::new(Errno::EINVAL, format!("{pool} has no device {device}")))
}

/// All names under which a device can be meant.
fn names(attachment: &Attachment) -> impl Iterator<Item = &str> {
    let kernel = attachment
        .device
        .as_deref()
        .and_then(|device| device.rsplit('/').next());
    attachment.alias.as_deref().into_iter().chain(kernel)
}
