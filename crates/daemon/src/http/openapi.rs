//! The OpenAPI 3.1 document, made from the handlers and the API's types.

use axum::{Json, response::IntoResponse};
use utoipa::{
    Modify, OpenApi,
    openapi::{Content, Ref, RefOr, response::ResponseBuilder},
};

#[derive(OpenApi)]
#[openapi(
    info(title = "restblk control API", description = "Volumes in REST storage as native block devices: the daemon of one host."),
    servers((url = "http://localhost", description = "The Unix socket /run/restblk/api.sock")),
    modifiers(&Errors),
    paths(
        document,
        super::host::info,
        super::host::doctor,
        super::host::metrics,
        super::pools::list,
        super::pools::create,
        super::pools::show,
        super::pools::delete,
        super::pools::add_mirror,
        super::pools::set_mirror,
        super::pools::drain_mirror,
        super::pools::remove_mirror,
        super::pools::limit,
        super::volumes::list,
        super::volumes::create,
        super::volumes::show,
        super::volumes::delete,
        super::volumes::extend,
        super::volumes::shrink,
        super::volumes::limit,
        super::volumes::durability,
        super::volumes::compression,
        super::volumes::keys,
        super::volumes::adopt,
        super::snapshots::list,
        super::snapshots::create,
        super::snapshots::show,
        super::snapshots::delete,
        super::snapshots::protect,
        super::snapshots::roll_back,
        super::snapshots::clone,
        super::snapshots::create_several,
        super::snapshots::flatten,
        super::conversions::convert,
        super::conversions::cancel,
        super::checks::usage,
        super::checks::progress,
        super::checks::check,
        super::snapshots::warm,
        super::trash::list,
        super::trash::restore,
        super::trash::purge,
        super::streams::diff,
        super::streams::send,
        super::streams::receive,
        super::attachments::list,
        super::attachments::show,
        super::attachments::attach,
        super::attachments::detach,
    )
)]
struct Document;

/// Every operation can fail with every status of [`super::answer`], and each such answer has the same body.
struct Errors;

impl Modify for Errors {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let body = || Content::new(Some(Ref::from_schema_name("ErrorBody")));
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                // Unique in the document: the handlers of different tags have the same names.
                if let (Some(tag), Some(id)) =
                    (operation.tags.iter().flatten().next(), &operation.operation_id)
                {
                    operation.operation_id = Some(format!("{tag}_{id}"));
                }
                for (status, meaning) in [("4XX", "refused"), ("5XX", "failed")] {
                    let response = ResponseBuilder::new()
                        .description(meaning)
                        .content("application/json", body())
                        .build();
                    let responses = &mut operation.responses.responses;
                    responses
                        .entry(status.to_owned())
                        .or_insert_with(|| RefOr::T(response));
                }
            }
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "host", responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(super) async fn document() -> impl IntoResponse {
    Json(Document::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    type Operations = BTreeSet<(String, String)>;

    /// What the document tells.
    fn told(json: &Value) -> Operations {
        let paths = json["paths"].as_object().unwrap();
        let of = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().keys().cloned();
            methods.map(|method| (method, path.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of).collect()
    }

    /// The routes, by the source of the router.
    fn routes() -> Operations {
        let source: String = include_str!("mod.rs").split_whitespace().collect();
        let routes = source.split(".route(\"").skip(1).flat_map(|route| {
            let (path, handlers) = route.split_once('"').unwrap();
            let handlers = handlers.split([';', '}']).next().unwrap().to_owned();
            let methods = ["get", "post", "put", "delete"];
            let named = methods.into_iter().filter(move |method| {
                [format!(",{method}("), format!(".{method}(")]
                    .iter()
                    .any(|call| handlers.contains(call))
            });
            named.map(|method| (method.to_owned(), path.to_owned()))
        });
        routes.collect()
    }

    /// The table of paths that clients read.
    fn table() -> Operations {
        let lines = include_str!("../../../api/src/paths.rs").lines();
        let rows = lines.filter_map(|line| line.strip_prefix("//! | ")?.split_once(" `"));
        let rows = rows.map(|(method, rest)| {
            let path = rest.split(['`', '[', '?']).next().unwrap();
            (method.to_lowercase(), path.to_owned())
        });
        rows.collect()
    }

    #[test]
    fn document_routes_and_table_are_the_same() {
        let json = serde_json::to_value(Document::openapi()).unwrap();
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
        assert!(routes().len() > 20, "{:?}", routes());
        assert_eq!(told(&json), routes());
        assert_eq!(told(&json), table());
    }

    #[test]
    fn every_operation_tells_the_body_of_its_errors() {
        let json = serde_json::to_value(Document::openapi()).unwrap();
        assert!(json["components"]["schemas"]["ErrorBody"].is_object());
        for (method, path) in told(&json) {
            for status in ["4XX", "5XX"] {
                let schema = &json["paths"][&path][&method]["responses"][status]["content"]["application/json"]
                    ["schema"]["$ref"];
                assert_eq!(
                    schema, "#/components/schemas/ErrorBody",
                    "{method} {path} {status}"
                );
            }
        }
    }
}
