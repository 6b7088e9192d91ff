package wire

// A protoLook reads protobuf in pieces. It enters the messages that lead to the texts of
// metadata, and passes over everything else without looking at it.
type protoLook struct {
	at    uint64     // bytes read
	level uint8      // of the message that it is in
	in    [4]message // by level
	end   [4]uint64  // by level: where it ends

	state  protoState
	varint uint64
	shift  uint
	number uint64 // of the field

	left   uint64 // bytes to pass over, or to take
	target member // where these go
	text   []byte
	lost   bool // the text is too long
}

// A message is one that is entered.
type message uint8

const (
	envelopeMessage message = iota // runtime.Unknown
	typeMessage                    // runtime.TypeMeta
	objectMessage
	metaMessage // metav1.ObjectMeta
)

type protoState uint8

const (
	inMagic protoState = iota
	inTag
	inSize
	inVarint // of a field that does not matter
	inSkip
	inTake
)

// write is told the next piece. It returns false if that is no protobuf.
func (l *protoLook) write(p []byte, m *texts) bool {
	for len(p) > 0 {
		switch l.state {
		case inMagic:
			if p[0] != magic[l.at] {
				return false
			}
			p = p[1:]
			if l.at++; l.at == uint64(len(magic)) {
				l.state = inTag
			}
		case inSkip, inTake:
			n := min(l.left, uint64(len(p)))
			if l.state == inTake && !l.lost {
				l.text = append(l.text, p[:n]...)
			}
			p = p[n:]
			l.at += n
			if l.left -= n; l.left == 0 {
				l.took(m)
			}
		default:
			b := p[0]
			p = p[1:]
			l.at++
			l.varint |= uint64(b&0x7f) << l.shift
			if l.shift += 7; b >= 0x80 {
				if l.shift >= 70 {
					return false
				}
				continue
			}
			v := l.varint
			l.varint, l.shift = 0, 0
			if !l.numeral(v, m) {
				return false
			}
		}
		if l.level > 0 && l.at > l.end[l.level] {
			return false
		}
	}
	return true
}

// numeral takes a number that has been read: a tag, a size, or a value.
func (l *protoLook) numeral(v uint64, m *texts) bool {
	switch l.state {
	case inTag:
		l.number = v >> 3
		switch v & 7 {
		case wireVarint:
			l.state = inVarint
		case wireFixed64:
			l.state, l.left = inSkip, 8
		case wireFixed32:
			l.state, l.left = inSkip, 4
		case wireBytes:
			l.state = inSize
		default:
			return false
		}
	case inSize:
		return l.enter(v, m)
	default:
		l.leave()
	}
	return true
}

// enter begins a field of n bytes.
func (l *protoLook) enter(n uint64, m *texts) bool {
	if n > 1<<40 {
		return false
	}
	l.state, l.left, l.target = inSkip, n, otherMember
	next := message(0)
	switch l.in[l.level] {
	case envelopeMessage:
		switch l.number {
		case 1:
			next = typeMessage
		case 2:
			next = objectMessage
		}
	case typeMessage:
		l.target = pick(l.number, otherMember, apiVersionMember, kindMember)
	case objectMessage:
		if l.number == 1 {
			next = metaMessage
		}
	case metaMessage:
		l.target = pick(l.number, otherMember, nameMember, generateNameMember, namespaceMember, otherMember, uidMember, resourceVersionMember)
	}
	if l.target != otherMember {
		l.state, l.lost = inTake, n > maxText
		l.text = l.text[:0]
	}
	if next == objectMessage { // it replaces one before it; other messages add up
		*m = texts{APIVersion: m.APIVersion, Kind: m.Kind}
	}
	if next != 0 {
		l.level++
		l.in[l.level], l.end[l.level] = next, l.at+n
		l.state = inTag
		l.leave()
		return true
	}
	if n == 0 {
		l.took(m)
	}
	return true
}

// pick returns the member of a number.
func pick(number uint64, members ...member) member {
	if number >= uint64(len(members)) {
		return otherMember
	}
	return members[number]
}

// took ends a field.
func (l *protoLook) took(m *texts) {
	if l.state == inTake {
		*m.text(l.target) = string(l.text)
	}
	l.leave()
}

// leave goes on with the next field, in the message that has not ended.
func (l *protoLook) leave() {
	l.state = inTag
	for l.level > 0 && l.at == l.end[l.level] {
		l.level--
	}
}

// complete tells whether what was read can be the whole.
func (l *protoLook) complete() bool {
	return l.state == inTag && l.level == 0 && l.shift == 0
}
