//! The OpenAPI 3.1 document, made from the handlers and the API's types.

use axum::{Json, response::IntoResponse};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(title = "restblk control API", description = "Volumes in REST storage as native block devices: the daemon of one host."),
    servers((url = "http://localhost", description = "The Unix socket /run/restblk/api.sock")),
    paths(
        super::host::info,
        super::host::doctor,
        super::host::metrics,
        super::pools::list,
        super::pools::create,
        super::pools::show,
        super::pools::delete,
        super::pools::add_mirror,
        super::pools::remove_mirror,
        super::pools::limit,
        super::volumes::list,
        super::volumes::create,
        super::volumes::show,
        super::volumes::delete,
        super::volumes::extend,
        super::volumes::limit,
        super::volumes::adopt,
        super::attachments::list,
        super::attachments::show,
        super::attachments::attach,
        super::attachments::detach,
    )
)]
struct Document;

/// The document.
pub(super) async fn document() -> impl IntoResponse {
    Json(Document::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_openapi_3_1_and_tells_every_path() {
        let json = serde_json::to_value(Document::openapi()).unwrap();
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
        for path in include_str!("../../../api/src/paths.rs")
            .lines()
            .filter_map(|l| l.strip_prefix("//! | "))
        {
            let Some((method, rest)) = path.split_once(" `") else {
                continue;
            };
            let path = rest.split(['`', '[', '?']).next().unwrap();
            if path == "/openapi.json" || !["GET", "POST", "PUT", "DELETE"].contains(&method) {
                continue;
            }
            assert!(
                !json["paths"][path][method.to_lowercase()].is_null(),
                "{method} {path}"
            );
        }
    }
}
