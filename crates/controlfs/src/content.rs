//! What is read from the files, and what folders hold: asked of the daemon each time.

use crate::command::usage;
use crate::control::{Control, device_name};
use crate::errno::{Refusal, Verb};
use crate::node::{DeviceFile, File, Node, Scope};
use nix::errno::Errno;
use restblk_api::{Attachment, Pool};
use restblk_types::{ErrorKind, PoolName};
use std::fmt::Write;

fn refuse(error: restblk_api::client::ClientError) -> Refusal {
    Refusal::of(Verb::Read, error)
}

fn gone(what: &str) -> Refusal {
    Refusal::new(Errno::ENOENT, format!("{what} is gone"))
}

/// The content of a file.
pub(crate) async fn read(control: &Control, node: &Node) -> Result<String, Refusal> {
    match node {
        Node::File(scope, file) => match file {
            File::Urls => Ok(urls(pool(control, control.pool(scope)).await?.as_ref())),
            File::Volumes => volumes(control, control.pool(scope)).await,
            File::LastError => Ok(control.last_error(scope)),
            command => Ok(usage(*command).unwrap_or_default().to_owned()),
        },
        Node::DeviceFile(scope, device, file) => {
            let pool_name = control.pool(scope);
            let attachment = attachment(control, pool_name, device)
                .await?
                .ok_or_else(|| gone(device))?;
            match file {
                DeviceFile::Debug => Ok(format!("{}\n", control.level(&attachment.volume))),
                DeviceFile::Urls => Ok(urls(pool(control, pool_name).await?.as_ref())),
                DeviceFile::Name => Ok(format!("{}\n", attachment.volume.volume)),
                DeviceFile::Size => Ok(format!("{}\n", attachment.size.0)),
            }
        }
        _ => Err(Refusal::new(Errno::EISDIR, "it is a folder")),
    }
}

/// Whether a node that can be there is.
pub(crate) async fn exists(control: &Control, node: &Node) -> Result<bool, Refusal> {
    match node {
        Node::Pool(Some(name)) => Ok(!control.is_default(name) && pool(control, name).await?.is_some()),
        Node::Device(scope, device) => Ok(attachment(control, control.pool(scope), device).await?.is_some()),
        _ => Ok(true),
    }
}

/// The names in a folder.
pub(crate) async fn names(control: &Control, node: &Node) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<String> = node.fixed_children().into_iter().map(ToOwned::to_owned).collect();
    match node {
        Node::Pools => {
            let pools = control.client.pools().await.map_err(refuse)?;
            names.extend(
                pools
                    .iter()
                    .filter(|pool| !control.is_default(&pool.spec.name))
                    .map(|pool| pool.spec.name.to_string()),
            );
        }
        Node::Devices(scope) => names.extend(devices(control, scope).await?),
        _ => {}
    }
    Ok(names)
}

async fn devices(control: &Control, scope: &Scope) -> Result<Vec<String>, Refusal> {
    let attachments = control.client.attachments().await.map_err(refuse)?;
    let pool = control.pool(scope);
    let here = attachments
        .iter()
        .filter(|attachment| attachment.volume.pool == *pool);
    Ok(here.filter_map(device_name).map(ToOwned::to_owned).collect())
}

async fn attachment(control: &Control, pool: &PoolName, device: &str) -> Result<Option<Attachment>, Refusal> {
    let attachments = control.client.attachments().await.map_err(refuse)?;
    let is_meant =
        |attachment: &Attachment| attachment.volume.pool == *pool && device_name(attachment) == Some(device);
    Ok(attachments.into_iter().find(is_meant))
}

async fn pool(control: &Control, name: &PoolName) -> Result<Option<Pool>, Refusal> {
    match control.client.pool(name).await {
        Ok(pool) => Ok(Some(pool)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refuse(error)),
    }
}

/// A comma list and a newline; without a pool an empty list.
fn urls(pool: Option<&Pool>) -> String {
    let urls = pool.iter().flat_map(|pool| &pool.spec.urls);
    let urls: Vec<_> = urls.map(|mirror| mirror.url.as_str()).collect();
    format!("{}\n", urls.join(","))
}

/// One a line.
async fn volumes(control: &Control, pool: &PoolName) -> Result<String, Refusal> {
    let volumes = match control.client.volumes(Some(pool)).await {
        Ok(volumes) => volumes,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(refuse(error)),
    };
    let mut lines = String::new();
    for volume in volumes {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{}", volume.volume.volume);
    }
    Ok(lines)
}
