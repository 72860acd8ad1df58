"""What users write: documents turned into frozen entities. Pure; used by every layer above."""
