"""JSON Schema, compiled: does a value fit, quickly; and if not, every reason with its place. Used by `request_schema`.

Own code, since this runs in the model's environment: jsonschema brings four packages, one of them compiled, whose
versions would fight the model's pins; fastjsonschema stops at the first fault and knows no draft after 7. All of
drafts 4 to 2020-12 but references to other documents, `$dynamicRef`, and `unevaluated…`: these are refused.
`format` and the other annotations have no effect, but for `errorMessage`: text that is told in place of the faults.
"""
