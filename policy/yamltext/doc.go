// Package yamltext edits YAML files in place: it tells where each value stands, and
// makes edits that leave every other byte as it is, comments and quotes too. Where an
// edit cannot be made with certainty there is none: nil.
package yamltext
