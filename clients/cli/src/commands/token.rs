//! `baton token`: who else may use Baton.

use baton_proto::api::{Page, PrincipalRole};
use serde::{Deserialize, Serialize};

use crate::api::{Api, query_value};
use crate::args::{RoleArg, TokenCommand};
use crate::context::Context;
use crate::report::{Exit, Report, clean_line};
use crate::{out, table, time};

/// `POST /v1/auth/tokens`
#[derive(Debug, Serialize)]
struct TokenRequest {
    name: String,
    role: PrincipalRole,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// An access token without its secret.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    id: String,
    name: String,
    role: PrincipalRole,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_ids: Option<Vec<String>>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A new one, with its secret.
#[derive(Debug, Serialize, Deserialize)]
struct NewToken {
    token: String,
    #[serde(flatten)]
    shown: Token,
}

/// Lists, makes and revokes access tokens.
pub async fn run(context: &Context, command: TokenCommand) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    match command {
        TokenCommand::List { json } => {
            let tokens = all(&api).await?;
            if json {
                out::json(&tokens)?;
            } else if !tokens.is_empty() {
                let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
                out::bytes(table::layout(&["NAME", "ROLE", "AGE", "EXPIRES", "ID"], &rows).as_bytes())?;
            }
        }
        TokenCommand::Create { name, role, agent_id, expires_at, json } => {
            let role = match role {
                RoleArg::Owner => PrincipalRole::Owner,
                RoleArg::Collaborator => PrincipalRole::Collaborator,
                RoleArg::Agent => PrincipalRole::Agent,
                RoleArg::Viewer => PrincipalRole::Viewer,
            };
            let body = TokenRequest { name, role, agent_id, expires_at };
            let made: NewToken = api.post("no token can be made", "/v1/auth/tokens", &body).await?;
            if json {
                out::json(&made)?;
            } else {
                out::line(&made.token)?;
                out::remark("It is shown this once.");
            }
        }
        TokenCommand::Revoke { token } => {
            let tokens = all(&api).await?;
            let hits: Vec<&Token> = tokens.iter().filter(|one| one.id == token || one.name == token).collect();
            let one = match hits.as_slice() {
                [one] => one,
                [] => {
                    return Err(Report::new(Exit::NotFound, format!("no token is called `{}`", clean_line(&token)))
                        .hint("`baton token list` lists them"));
                }
                several => {
                    let list: Vec<String> = several.iter().map(|one| one.id.clone()).collect();
                    return Err(Report::usage(format!("{} tokens are called `{}`", several.len(), clean_line(&token)))
                        .why(list.join("\n"))
                        .hint("give the id"));
                }
            };
            api.delete("the token cannot be revoked", &format!("/v1/auth/tokens/{}", one.id)).await?;
        }
    }
    Ok(0)
}

async fn all(api: &Api) -> Result<Vec<Token>, Report> {
    let mut tokens = Vec::new();
    let mut path = "/v1/auth/tokens?limit=500".to_owned();
    loop {
        let page: Page<Token> = api.get("the tokens cannot be listed", &path).await?;
        tokens.extend(page.items);
        match page.next_cursor {
            Some(next) => path = format!("/v1/auth/tokens?limit=500&cursor={}", query_value(&next)),
            None => return Ok(tokens),
        }
    }
}

fn row(token: &Token) -> Vec<String> {
    let role = match (token.role, &token.agent_id) {
        (PrincipalRole::Owner, _) => "owner".to_owned(),
        (PrincipalRole::Collaborator, _) => "collaborator".to_owned(),
        (PrincipalRole::Agent, agent) => format!("agent {}", clean_line(agent.as_deref().unwrap_or("?"))),
        (PrincipalRole::Viewer, _) => "viewer".to_owned(),
    };
    let expires = token.expires_at.as_deref().unwrap_or("never").to_owned();
    vec![
        clean_line(&token.name),
        role,
        time::age(&token.created_at, time::now()),
        clean_line(&expires),
        token.id.clone(),
    ]
}
