//! Snapshots. An operation that has begun goes on to its end, whether or not its client waits for it.

use super::{
    State,
    answer::{Answer, Body, Created, Done, InPath, created, done, json},
    attachments::broken,
};
use restblk_api::{
    CloneSnapshot, CreateSnapshot, CreateSnapshots, ErrorBody, Protection, Snapshot, Volume, Warmed,
};
use restblk_types::VolumeRef;
use std::sync::Arc;

#[utoipa::path(get, path = "/v1/volumes/{pool}/{volume}/snapshots", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 200, body = [Snapshot]), (status = 404, body = ErrorBody)))]
pub(super) async fn list(service: State, InPath(volume): InPath<VolumeRef>) -> Answer<Vec<Snapshot>> {
    json(service.attachments.snapshots(&volume).await)
}

/// Makes a snapshot of what the volume has now; of an attached one as well.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/snapshots", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path)), request_body = CreateSnapshot, responses((status = 201, body = Snapshot), (status = 409, body = ErrorBody)))]
pub(super) async fn create(
    service: State,
    InPath(volume): InPath<VolumeRef>,
    Body(request): Body<CreateSnapshot>,
) -> Created<Snapshot> {
    let attachments = Arc::clone(&service.attachments);
    let made = tokio::spawn(async move {
        let snapshot = volume.at(request.name.clone());
        attachments.make_snapshot(&snapshot, &request.name).await
    });
    created(made.await.map_err(broken)?)
}

/// Makes snapshots of several volumes, all of one moment; of none, where one cannot be made.
#[utoipa::path(post, path = "/v1/snapshots", tag = "snapshots", request_body = CreateSnapshots, responses((status = 201, body = [Snapshot]), (status = 409, body = ErrorBody)))]
pub(super) async fn create_several(
    service: State,
    Body(request): Body<CreateSnapshots>,
) -> Created<Vec<Snapshot>> {
    let attachments = Arc::clone(&service.attachments);
    let made = tokio::spawn(async move { attachments.make_snapshots(&request.snapshots).await });
    created(made.await.map_err(broken)?)
}

#[utoipa::path(get, path = "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path)), responses((status = 200, body = Snapshot), (status = 404, body = ErrorBody)))]
pub(super) async fn show(service: State, InPath(snapshot): InPath<VolumeRef>) -> Answer<Snapshot> {
    json(service.attachments.snapshot(&snapshot).await)
}

#[utoipa::path(delete, path = "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path)), responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete(service: State, InPath(snapshot): InPath<VolumeRef>) -> Done {
    let attachments = Arc::clone(&service.attachments);
    let deleted = tokio::spawn(async move { attachments.delete_snapshot(&snapshot).await });
    done(deleted.await.map_err(broken)?)
}

/// Guards a snapshot against its deletion, or ends that.
#[utoipa::path(put, path = "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/protection", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path)), request_body = Protection, responses((status = 200, body = Snapshot), (status = 404, body = ErrorBody)))]
pub(super) async fn protect(
    service: State,
    InPath(snapshot): InPath<VolumeRef>,
    Body(request): Body<Protection>,
) -> Answer<Snapshot> {
    let attachments = Arc::clone(&service.attachments);
    let protected =
        tokio::spawn(async move { attachments.protect_snapshot(&snapshot, request.protected).await });
    json(protected.await.map_err(broken)?)
}

/// Makes the volume what the snapshot is: what was written since is lost. The volume must not be attached.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/rollback", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path)), responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn roll_back(service: State, InPath(snapshot): InPath<VolumeRef>) -> Done {
    let attachments = Arc::clone(&service.attachments);
    let rolled = tokio::spawn(async move { attachments.roll_back(&snapshot).await });
    done(rolled.await.map_err(broken)?)
}

/// Makes a volume of the same pool that begins as the snapshot; nothing is copied.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/clone", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path)), request_body = CloneSnapshot, responses((status = 201, body = Volume), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn clone(
    service: State,
    InPath(snapshot): InPath<VolumeRef>,
    Body(request): Body<CloneSnapshot>,
) -> Created<Volume> {
    let service = Arc::clone(&service);
    let cloned = tokio::spawn(async move { service.clone_volume(&snapshot, request).await });
    created(cloned.await.map_err(broken)?)
}

/// Fills the host's cache with what a log volume reads; answers when that is done.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/warm", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 200, body = Warmed), (status = 404, body = ErrorBody)))]
pub(super) async fn warm(service: State, InPath(volume): InPath<VolumeRef>) -> Answer<Warmed> {
    // Not a task of its own: who asked for it and went away wants it no more.
    json(service.attachments.warm(&volume).await)
}

/// Copies into a clone what it still reads from the volumes that it came from; answers when that is done.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/flatten", tag = "snapshots", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn flatten(service: State, InPath(volume): InPath<VolumeRef>) -> Done {
    let attachments = Arc::clone(&service.attachments);
    let flattened = tokio::spawn(async move { attachments.flatten(&volume).await });
    done(flattened.await.map_err(broken)?)
}
