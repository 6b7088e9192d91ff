package query

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"kubetrail/audit"
)

// Limits of a question. They keep what one person may ask from costing everybody
// else the server.
const (
	maxText  = 64 << 10
	maxDepth = 500
	maxNodes = 20_000
)

// parser reads one question by recursive descent.
type parser struct {
	text     string
	pos      int
	depth    int
	nodes    int
	relative bool // inside field:{ … }: names are paths in that object
}

// Parse reads a question in KQL. Its error is a [SyntaxError].
func Parse(text string) (*Node, error) {
	p := &parser{text: text}
	if len(text) > maxText {
		return nil, p.errorAt(0, 0, fmt.Sprintf("the question is longer than %d KiB", maxText>>10), "ask several questions, or match more with wildcards")
	}
	if !utf8.ValidString(text) {
		return nil, p.errorAt(0, 0, "the question is not UTF-8", "")
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, p.errorAt(i, i+1, "a NUL byte stands here", `write \u0000 for the character`)
	}
	if p.space() == 0 {
		return &Node{Op: All}, nil
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if c := p.space(); c != 0 {
		return nil, p.unexpected(c)
	}
	return n, nil
}

func (p *parser) errorAt(pos, end int, msg, hint string) error {
	return &SyntaxError{Text: p.text, Pos: pos, End: end, Msg: msg, Hint: hint}
}

// unexpected is the error for c at pos, where a part of the question is complete.
func (p *parser) unexpected(c byte) error {
	switch c {
	case ')':
		return p.errorAt(p.pos, p.pos+1, "this parenthesis closes nothing", `remove it, put a ( before, or write \) for the character`)
	case '}':
		return p.errorAt(p.pos, p.pos+1, "this brace closes nothing", `remove it, or write \} for the character`)
	case ':':
		return p.errorAt(p.pos, p.pos+1, "a field name of one word must stand before a colon", `write \: for the character, or put the text in double quotes`)
	case '<', '>':
		return p.errorAt(p.pos, p.pos+1, "a field name must stand before a comparison", `write code >= 400, or \`+string(c)+` for the character`)
	}
	end := p.pos
	for end < len(p.text) && !isSpace(p.text[end]) && (end == p.pos || !isSpecial(p.text[end])) {
		end++
	}
	if p.keyword() == "not" {
		return p.errorAt(p.pos, end, `"and" or "or" must stand before "not"`, `write … and not …`)
	}
	hint := ""
	if p.pos > 0 && !isSpace(p.text[p.pos-1]) {
		hint = "put the value in double quotes if this belongs to it"
	}
	return p.errorAt(p.pos, end, `"and" or "or" must stand before this`, hint)
}

// enter counts one level of nesting.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.errorAt(p.pos, p.pos+1, fmt.Sprintf("nested more than %d deep", maxDepth), "remove parentheses that group nothing")
	}
	return nil
}

// level is one level of the grammar, for the whole language or for a list of values.
type level func() (*Node, error)

func (p *parser) or() (*Node, error)  { return p.join("or", p.and, or) }
func (p *parser) and() (*Node, error) { return p.join("and", p.not, and) }

// join reads operands of one level with the word between them.
func (p *parser) join(word string, operand level, make func([]*Node) *Node) (*Node, error) {
	first, err := operand()
	if err != nil {
		return nil, err
	}
	kids := []*Node{first}
	for p.space() != 0 && p.keyword() == word {
		p.pos += len(word)
		n, err := operand()
		if err != nil {
			return nil, err
		}
		kids = append(kids, n)
	}
	return make(kids), nil
}

func (p *parser) not() (*Node, error) { return p.negated(p.primary) }

// negated reads an operand with any number of nots before it.
func (p *parser) negated(operand level) (*Node, error) {
	if p.space() == 0 || p.keyword() != "not" {
		return operand()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.pos += len("not")
	n, err := p.negated(operand)
	if err != nil {
		return nil, err
	}
	p.depth--
	return not(n), nil
}

// group reads what stands between parentheses or braces.
func (p *parser) group(closing byte, inside level) (*Node, error) {
	open := p.pos
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.pos++
	if p.space() == closing {
		return nil, p.errorAt(open, p.pos+1, "nothing stands between these", "")
	}
	n, err := inside()
	if err != nil {
		return nil, err
	}
	switch c := p.space(); c {
	case closing:
		p.pos++
		p.depth--
		return n, nil
	case 0:
		return nil, p.errorAt(open, open+1, "this "+string(p.text[open])+" is never closed", "put a "+string(closing)+" where the group ends")
	default:
		return nil, p.unexpected(c)
	}
}

// primary reads a group, a test of a field or bare text.
func (p *parser) primary() (*Node, error) {
	switch c := p.space(); c {
	case 0:
		return nil, p.errorAt(p.pos, p.pos, "the question ends where it should go on", "")
	case '(':
		return p.group(')', p.or)
	case '"':
		v, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if p.operator() {
			return p.test(&v)
		}
		return p.bare([]value{v})
	case ')', '}', ':', '<', '>':
		if c == ')' || c == '}' {
			return nil, p.errorAt(p.pos, p.pos+1, "something to look for must stand before this", "")
		}
		return nil, p.unexpected(c)
	case '{':
		return nil, p.errorAt(p.pos, p.pos+1, "a brace must follow a field and a colon", `write field:{ … }, or \{ for the character`)
	}
	if k := p.keyword(); k != "" {
		return nil, p.errorAt(p.pos, p.pos+len(k), fmt.Sprintf("nothing stands before %q", k), fmt.Sprintf(`write "%s" in double quotes to look for the word`, k))
	}
	v, err := p.word(false)
	if err != nil {
		return nil, err
	}
	if p.operator() {
		return p.test(&v)
	}
	words, err := p.words(v, "")
	if err != nil {
		return nil, err
	}
	return p.bare(words)
}

// operator reports whether a colon or comparison comes next.
func (p *parser) operator() bool {
	c := p.space()
	return c == ':' || c == '<' || c == '>'
}

// words reads the words that follow first up to an operator or special character.
// field is the name whose value they are, empty for bare text.
func (p *parser) words(first value, field string) ([]value, error) {
	words := []value{first}
	for {
		c := p.space()
		if c == 0 || isSpecial(c) || p.keyword() != "" {
			break
		}
		v, err := p.word(false)
		if err != nil {
			return nil, err
		}
		words = append(words, v)
	}
	if !p.operator() {
		return words, nil
	}
	last := words[len(words)-1]
	if len(words) == 1 {
		return nil, p.errorAt(p.pos, p.pos+1, "a value ends before this", "put the value in double quotes if this belongs to it")
	}
	name := p.raw(&last)
	if err := p.lookalike(words, field); err != nil {
		return nil, err
	}
	if hint := p.sqlHint(words); hint != "" {
		return nil, p.errorAt(words[1].pos, words[1].end, "this is not KQL", hint)
	}
	return nil, p.errorAt(last.pos, last.end, fmt.Sprintf(`"and" or "or" must stand before %q`, name),
		"put the words before it in double quotes if they are one value")
}

// bare makes the node for text that no field was named for.
func (p *parser) bare(words []value) (*Node, error) {
	if err := p.lookalike(words, ""); err != nil {
		return nil, err
	}
	if hint := p.sqlHint(words); hint != "" && p.space() == '(' {
		return nil, p.errorAt(words[1].pos, words[1].end, "this is not KQL", hint)
	}
	var kids []*Node
	for _, w := range words {
		if strings.Trim(w.text(), "*") == "" && w.wild() {
			kids = append(kids, &Node{Op: All})
			continue
		}
		if w.text() == "" {
			return nil, p.errorAt(w.pos, w.end, "nothing stands between these quotes", "")
		}
		kids = append(kids, textNode(w.parts))
	}
	if err := p.count(len(kids), words[0]); err != nil {
		return nil, err
	}
	return or(kids), nil
}

// count adds to the size of the tree.
func (p *parser) count(n int, at value) error {
	if p.nodes += n; p.nodes > maxNodes {
		return p.errorAt(at.pos, at.end, fmt.Sprintf("the question makes more than %d tests", maxNodes), "name fewer fields with wildcards")
	}
	return nil
}

// field is a field name of a question and what it stands for.
type field struct {
	name value
	refs []audit.Ref
}

// test reads the operator and what follows the name of a field.
func (p *parser) test(name *value) (*Node, error) {
	f, err := p.field(name)
	if err != nil {
		return nil, err
	}
	c := p.text[p.pos]
	at := value{pos: p.pos, end: p.pos + 1}
	p.pos++
	if c != ':' {
		op := string(c)
		if p.pos < len(p.text) && p.text[p.pos] == '=' {
			p.pos++
			op += "="
		}
		at.end = p.pos
		return p.comparison(f, op, at)
	}
	switch p.space() {
	case '(':
		return p.group(')', func() (*Node, error) { return p.listOr(f) })
	case '{':
		return p.nested(f)
	}
	v, err := p.operand(f, at)
	if err != nil {
		return nil, err
	}
	return p.leaf(f, v)
}

// field resolves the name of a field.
func (p *parser) field(name *value) (field, error) {
	text := name.text()
	if raw := p.raw(name); !name.quoted && (strings.Contains(raw, `\*`) || strings.Contains(raw, `\"`) || strings.Contains(raw, `\\`)) && !strings.Contains(raw, `."`) {
		return field{}, p.errorAt(name.pos, name.end, "this field name has an escape that names cannot have", `put the key in quotes: requestObject.metadata.labels."a*b"`)
	}
	var refs []audit.Ref
	var err error
	if p.relative {
		refs = make([]audit.Ref, 1)
		refs[0], err = audit.Below(text)
	} else {
		refs, err = audit.ResolveAll(text)
	}
	if err == nil {
		return field{name: *name, refs: refs}, nil
	}
	var unknown *audit.UnknownFieldError
	hint := ""
	if errors.As(err, &unknown) && unknown.Nearest != "" {
		hint = fmt.Sprintf("did you mean %q?", unknown.Nearest)
	}
	switch rest := strings.TrimLeft(text, "!-+"); {
	case rest != text && rest != "" && text[0] == '+':
		hint = "KQL has no +: join tests with and"
	case rest != text && rest != "":
		hint = "write not " + rest + ":…"
	case hint == "":
		hint = "put the text in double quotes if it is no field"
	}
	return field{}, p.errorAt(name.pos, name.end, fmt.Sprintf("no field %q", text), hint)
}

// operand reads one value, at being the operator before it.
func (p *parser) operand(f field, at value) ([]value, error) {
	switch c := p.space(); {
	case c == '"':
		v, err := p.quoted()
		return []value{v}, err
	case c == '<' || c == '>':
		return nil, p.errorAt(p.pos, p.pos+1, "a comparison stands in place of the colon", fmt.Sprintf("write %s %c …", p.raw(&f.name), c))
	case c == '=':
		return nil, p.errorAt(p.pos, p.pos+1, "one operator is enough", fmt.Sprintf("write %s:…", p.raw(&f.name)))
	case c == 0 || isSpecial(c) || p.keyword() != "":
		return nil, p.errorAt(at.pos, at.end, fmt.Sprintf("a value for %q must follow", p.raw(&f.name)),
			fmt.Sprintf("write %s:* for any value, and double quotes around and, or, not and ( ) { } : < >", p.raw(&f.name)))
	}
	v, err := p.word(true)
	if err != nil {
		return nil, err
	}
	words, err := p.words(v, p.raw(&f.name))
	if err != nil {
		return nil, err
	}
	return words, p.lookalike(words, p.raw(&f.name))
}

// comparison reads the bound of a range.
func (p *parser) comparison(f field, op string, at value) (*Node, error) {
	if p.space() == '(' {
		return nil, p.errorAt(p.pos, p.pos+1, "a comparison takes one value", "")
	}
	words, err := p.operand(f, at)
	if err != nil {
		return nil, err
	}
	v := p.whole(words)
	if v.wild() {
		return nil, p.errorAt(v.pos, v.end, "a wildcard cannot be compared", "put the value in double quotes if the star belongs to it")
	}
	return p.each(f, v, func(r audit.Ref) (*Node, error) { return p.compare(r, op, v) })
}

// nested reads field:{ … }.
func (p *parser) nested(f field) (*Node, error) {
	for _, r := range f.refs {
		if r.Field.Type != audit.Object {
			return nil, p.errorAt(f.name.pos, f.name.end, fmt.Sprintf("%q holds no objects", p.raw(&f.name)), "braces follow a path in a body: requestObject.spec.containers:{ image:nginx* and tty:true }")
		}
	}
	outer := p.relative
	p.relative = true
	sub, err := p.group('}', p.or)
	p.relative = outer
	if err != nil {
		return nil, err
	}
	return p.each(f, f.name, func(r audit.Ref) (*Node, error) {
		return testNode(r, &test{kind: nested, sub: sub}), nil
	})
}

func (p *parser) listOr(f field) (*Node, error) {
	return p.join("or", func() (*Node, error) { return p.listAnd(f) }, or)
}

func (p *parser) listAnd(f field) (*Node, error) {
	return p.join("and", func() (*Node, error) {
		return p.negated(func() (*Node, error) { return p.listItem(f) })
	}, and)
}

func (p *parser) listItem(f field) (*Node, error) {
	if p.space() == '(' {
		return p.group(')', func() (*Node, error) { return p.listOr(f) })
	}
	words, err := p.operand(f, value{pos: p.pos, end: p.pos + 1})
	if err != nil {
		return nil, err
	}
	if raw := p.text[words[0].pos:words[len(words)-1].end]; !words[0].quoted && strings.Contains(raw, ",") && len(words) > 1 {
		return nil, p.errorAt(words[0].pos, words[len(words)-1].end, "values are not separated by commas", "write (a or b), or put the value in double quotes")
	}
	return p.leaf(f, words)
}

// whole is words as one value, the blanks between them included.
func (p *parser) whole(words []value) value {
	v := words[0]
	for _, w := range words[1:] {
		parts := append([]string(nil), v.parts...)
		parts[len(parts)-1] += p.text[v.end:w.pos] + w.parts[0]
		v.parts, v.end = append(parts, w.parts[1:]...), w.end
	}
	return v
}

// leaf makes the node for field:value.
func (p *parser) leaf(f field, words []value) (*Node, error) {
	v := p.whole(words)
	return p.each(f, v, func(r audit.Ref) (*Node, error) {
		if r.Field.Type != audit.Prose {
			return p.equal(r, v)
		}
		var kids []*Node
		for _, w := range words {
			n, err := p.prose(r, w)
			if err != nil {
				return nil, err
			}
			kids = append(kids, n)
		}
		return or(kids), nil
	})
}

// each makes a test for every field that a name stands for. One that the test makes
// no sense for is left out while others remain.
func (p *parser) each(f field, at value, make func(audit.Ref) (*Node, error)) (*Node, error) {
	if err := p.count(len(f.refs), at); err != nil {
		return nil, err
	}
	var kids []*Node
	var first error
	for _, r := range f.refs {
		n, err := make(r)
		if err == nil {
			kids = append(kids, n)
		} else if first == nil {
			first = err
		}
	}
	if len(kids) == 0 {
		return nil, first
	}
	return or(kids), nil
}

// Quote writes a value as a question has it, so that nothing in it is special and Parse
// reads it as it is. What is not UTF-8 becomes U+FFFD.
func Quote(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\x00", `\u0000`).Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}
