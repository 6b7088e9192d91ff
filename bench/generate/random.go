package generate

import (
	"math"
	"math/bits"
	"time"
)

// random is a splitmix64 generator: small, seekable, and the same in every version of
// Go.
type random struct{ state uint64 }

const golden = 0x9e3779b97f4a7c15

func (r *random) next() uint64 {
	r.state += golden
	return mix(r.state)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (r *random) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// chance reports true in n of 1024 cases.
func (r *random) chance(n int) bool { return int(r.next()>>54) < n }

// fraction returns a number in [0, 1).
func (r *random) fraction() float64 { return float64(r.next()>>11) / (1 << 53) }

// zipf draws ranks 0…n-1 of which rank i is chosen in proportion to 1/(i+1)^s.
type zipf []uint16

func newZipf(n int, s float64) zipf {
	total := 0.0
	for i := range n {
		total += math.Pow(float64(i+1), -s)
	}
	z := make(zipf, 1<<15)
	rank, sum := 0, math.Pow(1, -s)
	for i := range z {
		for sum < total*(float64(i)+0.5)/float64(len(z)) && rank < n-1 {
			rank++
			sum += math.Pow(float64(rank+1), -s)
		}
		z[i] = uint16(rank)
	}
	return z
}

func (z zipf) draw(r *random) int { return int(z[r.next()>>49]) }

const (
	hexDigits    = "0123456789abcdef"
	safeLetters  = "bcdfghjklmnpqrstvwxz2456789" // of names that Kubernetes makes up
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	base64URL    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// appendHex appends n random hexadecimal digits.
func appendHex(b []byte, r *random, n int) []byte {
	for n > 0 {
		x := r.next()
		for range min(n, 16) {
			b = append(b, hexDigits[x&15])
			x >>= 4
		}
		n -= 16
	}
	return b
}

// appendSafe appends n random letters as Kubernetes adds them to names.
func appendSafe(b []byte, r *random, n int) []byte {
	x := r.next()
	for range n {
		b = append(b, safeLetters[x%27])
		x /= 27
	}
	return b
}

// appendBase64 appends n random digits of an alphabet of 64.
func appendBase64(b []byte, r *random, alphabet string, n int) []byte {
	for n > 0 {
		x := r.next()
		for range min(n, 10) {
			b = append(b, alphabet[x&63])
			x >>= 6
		}
		n -= 10
	}
	return b
}

// appendUUID appends the 128 bits as a version 4 UUID.
func appendUUID(b []byte, hi, lo uint64) []byte {
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	for i := 15; i >= 0; i-- {
		if i == 7 || i == 3 {
			b = append(b, '-')
		}
		b = append(b, hexDigits[hi>>(4*i)&15])
	}
	for i := 15; i >= 0; i-- {
		if i == 15 || i == 11 {
			b = append(b, '-')
		}
		b = append(b, hexDigits[lo>>(4*i)&15])
	}
	return b
}

const (
	second = 1_000_000 // in microseconds, the unit of time here
	minute = 60 * second
	day    = 24 * 60 * minute
)

// appendSecond appends t as metav1.Time is written: whole seconds, without the Z.
func appendSecond(b []byte, t int64) []byte {
	days, rest := t/day, t%day/second
	year, month, date := civil(days)
	b = append(b, byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-')
	b = append(append2(b, month), '-')
	b = append(append2(b, date), 'T')
	b = append(append2(b, int(rest/3600)), ':')
	b = append(append2(b, int(rest/60%60)), ':')
	return append2(b, int(rest%60))
}

// appendTime appends t as metav1.Time.
func appendTime(b []byte, t int64) []byte { return append(appendSecond(b, t), 'Z') }

// appendMicro appends t as metav1.MicroTime.
func appendMicro(b []byte, t int64) []byte {
	b = append(appendSecond(b, t), '.')
	x := int(t % second)
	b = append2(append2(append2(b, x/10000), x/100%100), x%100)
	return append(b, 'Z')
}

func append2(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// civil returns the date of a day since the epoch, in the proleptic Gregorian
// calendar whose years begin in March.
func civil(days int64) (year, month, date int) {
	z := int(days) + 719468
	era := z / 146097
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, doy - (153*mp+2)/5 + 1
}

// rhythm returns, for each minute of a day, the share of the day's events that came
// before it: quiet nights, a rise at eight, a dip at noon, a late job at two.
func rhythm() [1441]float64 {
	var sum [1441]float64
	for m := range 1440 {
		h := float64(m) / 60
		office := math.Exp(-math.Pow((h-10.5)/2.4, 2)) + 0.9*math.Exp(-math.Pow((h-15)/2.2, 2))
		night := 0.5 * math.Exp(-math.Pow((h-2)/0.4, 2))
		sum[m+1] = sum[m] + 1 + 1.6*office + night
	}
	for m := range sum {
		sum[m] /= sum[1440]
	}
	sum[1440] = 1
	return sum
}

// firstDay is the day of the events where the configuration names none.
func firstDay() time.Time { return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC) }
