//! Changing: create, update, patch, apply, delete, and the subresources `status` and `scale`.

use serde_json::{Value, json};

use super::refused::Refused;
use super::route::Target;
use super::{Place, Reply, managed, patch, read, validate};
use crate::services::Params;
use crate::world::World;
use crate::world::workloads::kinds::{KINDS, Kind, NAMESPACES, PODS};
use crate::world::workloads::value::{list, name, namespace, put, remove, text};
use crate::world::workloads::{Kube, fill_in, rfc3339, stamp_new};

/// A change that is asked for.
pub(super) struct Change<'a> {
    pub(super) place: &'a Place,
    pub(super) target: &'a Target,
    pub(super) query: &'a Params,
    /// Who writes, for `managedFields`.
    pub(super) manager: String,
}

/// In which form a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Merge,
    Strategic,
    Json,
    Apply,
}

impl Form {
    /// Reads the content type of a patch.
    pub(super) fn parse(content_type: &str, kind: &Kind) -> Result<Form, Refused> {
        const ALL: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";
        const CUSTOM: &str = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Ok(Form::Merge),
            "application/strategic-merge-patch+json" if kind.is_built_in() => Ok(Form::Strategic),
            "application/json-patch+json" => Ok(Form::Json),
            "application/apply-patch+yaml" => Ok(Form::Apply),
            _ => Err(Refused::unsupported_body(if kind.is_built_in() { ALL } else { CUSTOM })),
        }
    }
}

impl Change<'_> {
    fn kind(&self) -> &'static Kind {
        self.target.kind
    }

    fn is_dry(&self) -> bool {
        self.query.get("dryRun").is_some()
    }

    fn kube<'w>(&self, world: &'w mut World) -> Result<&'w mut Kube, Refused> {
        let found = world.region_mut(&self.place.region).clusters.get_mut(&self.place.cluster);
        found.map(|c| &mut c.kube).ok_or_else(|| Refused::internal("the cluster is gone"))
    }

    fn current(&self, world: &mut World) -> Result<Value, Refused> {
        read::find(self.kube(world)?, self.target).map(|o| o.json.clone())
    }

    /// Makes an object.
    pub(super) fn create(&self, world: &mut World, mut object: Value) -> Result<Reply, Refused> {
        let kind = self.kind();
        validate::is_of_kind(kind, &object)?;
        if kind.namespaced {
            validate::namespace_fits(&object, &self.target.namespace)?;
            put(&mut object, &["metadata", "namespace"], self.target.namespace.as_str().into());
        }
        if name(&object).is_empty() && !text(&object, "/metadata/generateName").is_empty() {
            let full = format!("{}{}", text(&object, "/metadata/generateName"), world.draw_hex("k8s/generate-name", 5));
            put(&mut object, &["metadata", "name"], full.into());
        }
        if kind.status {
            remove(&mut object, &["status"]);
        }
        fill_in(kind, &mut object);
        validate::object(kind, &object)?;
        let kube = self.kube(world)?;
        if kind.namespaced && kube.get(NAMESPACES, "", &self.target.namespace).is_none() {
            return Err(Refused::not_found(NAMESPACES, &self.target.namespace));
        }
        if kube.get(kind, namespace(&object), name(&object)).is_some() {
            return Err(Refused::already_exists(kind, name(&object)));
        }
        let now = world.now;
        stamp_new(world, kind, &mut object, now);
        managed::updated(None, &mut object, &self.manager, "", &rfc3339(now));
        let made = self.keep(world, object)?;
        Ok(Reply { status: 201, ..made })
    }

    /// Replaces an object, its status or its scale.
    pub(super) fn update(&self, world: &mut World, object: Value) -> Result<Reply, Refused> {
        let before = self.current(world)?;
        if self.target.sub == "scale" {
            return self.rescale(world, &before, &object);
        }
        validate::is_of_kind(self.kind(), &object)?;
        if name(&object) != self.target.name {
            let message = format!("the name of the object ({}) does not match the name on the URL ({})", name(&object), self.target.name);
            return Err(Refused::bad_request(message));
        }
        if !self.kind().is_built_in() && text(&object, "/metadata/resourceVersion").is_empty() {
            let problem = "Invalid value: 0x0: must be specified for an update";
            return Err(Refused::invalid(self.kind(), &self.target.name, "metadata.resourceVersion", problem));
        }
        self.replace(world, &before, object)
    }

    /// Patches an object, its status or its scale.
    pub(super) fn patch(&self, world: &mut World, form: Form, change: &Value) -> Result<Reply, Refused> {
        if form == Form::Apply {
            return self.apply(world, change);
        }
        let before = self.current(world)?;
        let mut after = if self.target.sub == "scale" { read::scale(&before) } else { before.clone() };
        match form {
            Form::Json => {
                let operations = change.as_array().ok_or_else(|| Refused::bad_request("a JSON patch is an array of operations"))?;
                patch::json_patch(&mut after, operations).map_err(|_| Refused::unfit_patch())?;
            }
            Form::Strategic => patch::strategic(&mut after, change),
            Form::Merge | Form::Apply => patch::merge(&mut after, change),
        }
        if self.target.sub == "scale" {
            return self.rescale(world, &before, &after);
        }
        self.replace(world, &before, after)
    }

    /// Applies an object server-side, making it if it is not there.
    fn apply(&self, world: &mut World, wanted: &Value) -> Result<Reply, Refused> {
        let manager = self
            .query
            .get("fieldManager")
            .ok_or_else(|| Refused::invalid_options("fieldManager", "Required value: is required for apply patch"))?;
        let force = matches!(self.query.get("force"), Some("true" | "1"));
        validate::is_of_kind(self.kind(), wanted)?;
        let before = self.current(world).ok();
        let mut wanted = wanted.clone();
        put(&mut wanted, &["metadata", "name"], self.target.name.as_str().into());
        if self.kind().namespaced {
            validate::namespace_fits(&wanted, &self.target.namespace)?;
            put(&mut wanted, &["metadata", "namespace"], self.target.namespace.as_str().into());
        }
        let stamp = rfc3339(world.now);
        let after = managed::apply(before.as_ref(), &wanted, manager, force, &stamp).map_err(|c| Refused::apply_conflict(&c))?;
        match before {
            Some(before) => self.settle(world, &before, after),
            None => {
                let managed = after["metadata"]["managedFields"].clone();
                self.make_applied(world, after, managed)
            }
        }
    }

    fn make_applied(&self, world: &mut World, mut object: Value, managed_fields: Value) -> Result<Reply, Refused> {
        let kind = self.kind();
        fill_in(kind, &mut object);
        validate::object(kind, &object)?;
        if kind.namespaced && self.kube(world)?.get(NAMESPACES, "", &self.target.namespace).is_none() {
            return Err(Refused::not_found(NAMESPACES, &self.target.namespace));
        }
        let now = world.now;
        stamp_new(world, kind, &mut object, now);
        put(&mut object, &["metadata", "managedFields"], managed_fields);
        let made = self.keep(world, object)?;
        Ok(Reply { status: 201, ..made })
    }

    fn rescale(&self, world: &mut World, before: &Value, scale: &Value) -> Result<Reply, Refused> {
        self.check_version(before, scale)?;
        let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
        if replicas < 0 {
            let problem = format!("Invalid value: {replicas}: must be greater than or equal to 0");
            return Err(Refused::invalid_scale(&self.target.name, "spec.replicas", &problem));
        }
        let mut after = before.clone();
        put(&mut after, &["spec", "replicas"], replicas.into());
        managed::updated(Some(before), &mut after, &self.manager, "scale", &rfc3339(world.now));
        let kept = self.keep(world, after)?;
        let scale = kept.value().map(read::scale).unwrap_or_default();
        Ok(Reply::json(scale).effective(kept.effective))
    }

    /// A version in what a client sends says what it has seen.
    fn check_version(&self, before: &Value, sent: &Value) -> Result<(), Refused> {
        let seen = text(sent, "/metadata/resourceVersion");
        if !seen.is_empty() && seen != text(before, "/metadata/resourceVersion") {
            return Err(Refused::conflict(self.kind(), &self.target.name));
        }
        let uid = text(sent, "/metadata/uid");
        if !uid.is_empty() && uid != text(before, "/metadata/uid") {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", text(before, "/metadata/uid"));
            return Err(Refused::conflict_because(self.kind(), &self.target.name, &why));
        }
        Ok(())
    }

    fn replace(&self, world: &mut World, before: &Value, mut after: Value) -> Result<Reply, Refused> {
        self.check_version(before, &after)?;
        let of_before = |pointer: &str| before.get(pointer).cloned();
        if self.target.sub == "status" {
            let status = after.get("status").cloned().unwrap_or(Value::Null);
            after = before.clone();
            put(&mut after, &["status"], status);
        } else if self.kind().status {
            match of_before("status") {
                Some(status) => put(&mut after, &["status"], status),
                None => drop(remove(&mut after, &["status"])),
            }
        }
        managed::updated(Some(before), &mut after, &self.manager, &self.target.sub, &rfc3339(world.now));
        self.settle(world, before, after)
    }

    /// Keeps a new version of an object, once it is complete and allowed.
    fn settle(&self, world: &mut World, before: &Value, mut after: Value) -> Result<Reply, Refused> {
        for field in ["uid", "creationTimestamp", "generation"] {
            match before["metadata"].get(field) {
                Some(value) => put(&mut after, &["metadata", field], value.clone()),
                None => drop(remove(&mut after, &["metadata", field])),
            }
        }
        put(&mut after, &["metadata", "name"], self.target.name.as_str().into());
        put(&mut after, &["apiVersion"], self.kind().api_version().into());
        put(&mut after, &["kind"], self.kind().kind.into());
        fill_in(self.kind(), &mut after);
        validate::object(self.kind(), &after)?;
        validate::change(self.kind(), before, &after)?;
        self.keep(world, after)
    }

    fn keep(&self, world: &mut World, object: Value) -> Result<Reply, Refused> {
        let kind = self.kind();
        let kube = self.kube(world)?;
        if self.is_dry() {
            return Ok(Reply::json(object));
        }
        let (space, own) = (namespace(&object).to_owned(), name(&object).to_owned());
        let effective = kube.keep(kind, object);
        let kept = kube.get(kind, &space, &own).map(|o| o.json.clone()).unwrap_or_default();
        Ok(Reply::json(kept).effective(effective))
    }

    /// Deletes one object and what it owns.
    pub(super) fn delete(&self, world: &mut World, options: &Value) -> Result<Reply, Refused> {
        let before = self.current(world)?;
        let (wanted, found) = (text(options, "/preconditions/uid"), text(&before, "/metadata/uid"));
        if !wanted.is_empty() && wanted != found {
            return Err(Refused::another(self.kind(), &self.target.name, wanted, found));
        }
        self.check_version(&before, &json!({ "metadata": { "resourceVersion": options["preconditions"]["resourceVersion"] } }))?;
        if self.is_dry() {
            return Ok(Reply::json(before));
        }
        let key = crate::world::workloads::key(&self.target.namespace, &self.target.name);
        if self.kind() == PODS {
            world.terminate_pod(&self.place.region, &self.place.cluster, &key);
            return Ok(Reply::json(before).effective(true));
        }
        if options.get("propagationPolicy").is_some_and(|p| p == "Orphan") {
            self.disown(world, text(&before, "/metadata/uid"))?;
        }
        self.kube(world)?.remove(self.kind(), &key);
        Ok(Reply::json(json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": { "name": self.target.name, "group": self.kind().group, "kind": self.kind().plural, "uid": before["metadata"]["uid"] },
        }))
        .effective(true))
    }

    /// Leaves what an object owns behind.
    fn disown(&self, world: &mut World, uid: &str) -> Result<(), Refused> {
        let kube = self.kube(world)?;
        for kind in KINDS {
            let owned =
                |o: &&crate::world::workloads::Object| list(&o.json, "/metadata/ownerReferences").iter().any(|r| text(r, "/uid") == uid);
            let owned: Vec<String> =
                kube.all(kind).filter(owned).map(|o| crate::world::workloads::key(namespace(&o.json), name(&o.json))).collect();
            for key in owned {
                kube.change(kind, &key, |o| {
                    remove(o, &["metadata", "ownerReferences"]);
                });
            }
        }
        Ok(())
    }

    /// Deletes every object of a kind that is selected.
    pub(super) fn delete_all(&self, world: &mut World, options: &Value) -> Result<Reply, Refused> {
        let selector = super::select::Selector::parse(self.query)?;
        let all = self.kube(world)?.all(self.kind()).map(|o| &o.json);
        let selected = all.filter(|o| read::is_within(o, self.target) && selector.selects(o));
        let selected: Vec<Value> = selected.cloned().collect();
        for object in &selected {
            let target = Target { namespace: namespace(object).to_owned(), name: name(object).to_owned(), ..self.target.clone() };
            let change = Change { target: &target, place: self.place, query: self.query, manager: self.manager.clone() };
            change.delete(world, options)?;
        }
        let kind = format!("{}List", self.kind().kind);
        let effective = !selected.is_empty() && !self.is_dry();
        let list = json!({ "kind": kind, "apiVersion": self.kind().api_version(), "metadata": {}, "items": selected });
        Ok(Reply::json(list).effective(effective))
    }
}
