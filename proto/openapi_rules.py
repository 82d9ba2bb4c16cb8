"""protovalidate's rules as JSON schema keywords: those that JSON schema can say."""

from typing import Any

Schema = dict[str, Any]
REQUIRED = 2
NUMBER_KINDS = ("int32", "int64", "uint32", "uint64", "sint32", "sint64", "float", "double")
BOUNDS = {"gte": "minimum", "lte": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
STRING_SIZES = {"min_len": "minLength", "max_len": "maxLength", "max_bytes": "maxLength", "pattern": "pattern"}
STRING_FORMATS = {"uuid": "uuid", "email": "email", "hostname": "hostname", "uri": "uri"}


def is_required(rules: Any, behaviours: list[int]) -> bool:
    """Whether a field must be given: it says so, or an empty string would be refused."""
    return rules.required or REQUIRED in behaviours


def apply_rules(schema: Schema, rules: Any) -> Schema:
    """The schema with the keywords that the rules mean."""
    kind = rules.WhichOneof("type")
    if kind is None:
        return schema
    given = getattr(rules, kind)
    if kind == "string":
        return schema | _string(given)
    if kind in NUMBER_KINDS:
        return schema | _number(given)
    if kind == "repeated":
        return _repeated(schema, given)
    if kind == "map":
        return _map(schema, given)
    return schema


def _string(rules: Any) -> Schema:
    keywords: Schema = {word: getattr(rules, name) for name, word in STRING_SIZES.items() if rules.HasField(name)}
    if choices := list(getattr(rules, "in")):
        keywords["enum"] = choices
    known = rules.WhichOneof("well_known")
    if known in STRING_FORMATS and getattr(rules, known):
        keywords["format"] = STRING_FORMATS[known]
    return keywords


def _number(rules: Any) -> Schema:
    keywords: Schema = {word: getattr(rules, name) for name, word in BOUNDS.items() if rules.HasField(name)}
    if choices := list(getattr(rules, "in")):
        keywords["enum"] = choices
    return keywords


def _repeated(schema: Schema, rules: Any) -> Schema:
    changed = schema | {"items": apply_rules(schema["items"], rules.items)}
    if rules.HasField("min_items"):
        changed["minItems"] = rules.min_items
    if rules.HasField("max_items"):
        changed["maxItems"] = rules.max_items
    if rules.unique:
        changed["uniqueItems"] = True
    return changed


def _map(schema: Schema, rules: Any) -> Schema:
    changed = schema | {"additionalProperties": apply_rules(schema["additionalProperties"], rules.values)}
    if rules.HasField("min_pairs"):
        changed["minProperties"] = rules.min_pairs
    if rules.HasField("max_pairs"):
        changed["maxProperties"] = rules.max_pairs
    if keys := apply_rules({}, rules.keys):
        changed["propertyNames"] = keys
    return changed
