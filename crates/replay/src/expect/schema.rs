//! A JSON Schema that is compiled when the script is parsed. A schema that refers to other files is
//! refused, so that parsing a script reads no unexpected files.

use base::hash::sha256;
use boon::{Compiler, SchemaIndex, Schemas, UrlLoader};
use serde_json::Value;
use std::error::Error;
use std::fmt;

/// A compiled JSON Schema.
pub struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
    /// The SHA-256 of the schema's JSON text.
    sha256: String,
}

/// The name under which the schema is added to the compiler.
const NAME: &str = "replay:schema";

struct Refuse;

impl UrlLoader for Refuse {
    fn load(&self, _: &str) -> Result<Value, Box<dyn Error>> {
        Err("a schema in a replay must contain everything that it refers to".into())
    }
}

impl Schema {
    pub(super) fn compile(schema: Value) -> Result<Schema, String> {
        let sha256 = sha256(schema.to_string().as_bytes());
        let mut compiler = Compiler::new();
        compiler.use_loader(Box::new(Refuse));
        let added = compiler.add_resource(NAME, schema);
        added.map_err(|error| format!("The schema is invalid: {error}"))?;
        let mut schemas = Schemas::new();
        let index = compiler.compile(NAME, &mut schemas);
        let index = index.map_err(|error| format!("The schema is invalid: {error:#}"))?;
        Ok(Schema {
            schemas,
            index,
            sha256,
        })
    }

    /// Returns the reason why a value does not match the schema; None if it does.
    pub(super) fn fault(&self, value: &Value) -> Option<String> {
        let error = self.schemas.validate(value, self.index).err()?;
        let mut deepest = &error;
        while let Some(cause) = deepest.causes.first() {
            deepest = cause;
        }
        let place = deepest.instance_location.to_string();
        let place = match place.is_empty() {
            true => "the value".to_string(),
            false => place,
        };
        Some(format!("{place}: {}", deepest.kind))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.sha256)
    }
}
