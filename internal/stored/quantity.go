package stored

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

var errQuantity = errors.New("no quantity")

// suffixes of quantities and the power of ten, or of two, that they stand for.
var (
	decimalSuffix = map[string]int{"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
	binarySuffix  = map[string]uint{"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
)

const maxQuantity = 40 // characters; what is longer is left alone

// Quantity returns the canonical form of a resource.Quantity (k8s.io/apimachinery), which
// is what is stored. milli rounds up to thousandths, as for a core/v1 ResourceList. It is
// an error where the text is no quantity, or one outside the range that is certain.
func Quantity(s string, milli bool) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxQuantity {
		return "", errQuantity
	}
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 {
		return "", errQuantity
	}
	end := strings.IndexFunc(digits, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	suffix := ""
	if end >= 0 {
		digits, suffix = digits[:end], digits[end:]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole+fraction == "" || strings.Contains(fraction, ".") {
		return "", errQuantity
	}
	mantissa, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return "", errQuantity
	}
	exponent := -len(fraction) // the value is mantissa * 10^exponent * 2^shift
	shift, form := uint(0), byte('d')
	if e, ok := decimalSuffix[suffix]; ok {
		exponent += e
	} else if b, ok := binarySuffix[suffix]; ok {
		shift, form = b, 'b'
	} else if e, err := strconv.Atoi(suffix[1:]); err == nil && (suffix[0] == 'e' || suffix[0] == 'E') && e > -30 && e < 30 {
		exponent, form = exponent+e, 'e'
	} else {
		return "", errQuantity
	}
	mantissa.Lsh(mantissa, shift)
	floor := -9
	if milli {
		floor = -3
	}
	if exponent < floor {
		mantissa, exponent = roundUp(mantissa, floor-exponent), floor
	}
	if s[0] == '-' {
		if exponent == floor && floor-(-len(fraction)) > 0 {
			return "", errQuantity // rounding of what is negative is not worth a rule
		}
		mantissa.Neg(mantissa)
	}
	return canonicalQuantity(mantissa, exponent, form)
}

// roundUp divides by 10^digits, away from zero.
func roundUp(m *big.Int, digits int) *big.Int {
	by := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	q, r := new(big.Int).QuoRem(m, by, new(big.Int))
	if r.Sign() != 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

func canonicalQuantity(m *big.Int, exponent int, form byte) (string, error) {
	if m.Sign() == 0 {
		return "0", nil
	}
	ten, zero := big.NewInt(10), new(big.Int)
	for {
		q, r := new(big.Int).QuoRem(m, ten, zero)
		if r.Sign() != 0 {
			break
		}
		m, exponent = q, exponent+1
	}
	limit := new(big.Int).Exp(ten, big.NewInt(18), nil)
	value := new(big.Int).Set(m)
	if exponent > 0 {
		value.Mul(value, new(big.Int).Exp(ten, big.NewInt(int64(exponent)), nil))
	}
	if value.CmpAbs(limit) >= 0 || exponent > 18 {
		return "", errQuantity // near or above the largest that there is
	}
	if form == 'b' && exponent >= 0 && value.CmpAbs(big.NewInt(1024)) >= 0 {
		power := 0
		for power < 6 && new(big.Int).And(value, big.NewInt(1023)).Sign() == 0 {
			value.Rsh(value, 10)
			power++
		}
		return value.String() + []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}[power], nil
	}
	for exponent%3 != 0 {
		m, exponent = new(big.Int).Mul(m, ten), exponent-1
	}
	if form == 'e' {
		return m.String() + "e" + strconv.Itoa(exponent), nil
	}
	for suffix, e := range decimalSuffix {
		if e == exponent {
			return m.String() + suffix, nil
		}
	}
	return "", errQuantity
}

// sameQuantity tells whether two texts are quantities of the same value.
func sameQuantity(a, b string) bool {
	x, y := amount(a), amount(b)
	return x != nil && y != nil && x.Cmp(y) == 0
}

// amount is the value of a quantity, nil where a text is none.
func amount(s string) *big.Rat {
	s, err := Quantity(s, false)
	if err != nil {
		return nil
	}
	digits := strings.TrimRight(s, "numkMGTPEi")
	unit := new(big.Rat)
	if e, ok := decimalSuffix[s[len(digits):]]; ok {
		unit, _ = unit.SetString("1e" + strconv.Itoa(e))
	} else {
		unit.SetInt(new(big.Int).Lsh(big.NewInt(1), binarySuffix[s[len(digits):]]))
	}
	x, ok := new(big.Rat).SetString(digits)
	if !ok {
		return nil
	}
	return x.Mul(x, unit)
}
