package audit

// parseTime reads an RFC 3339 time with any number of decimals and returns it in
// microseconds since the epoch, with the nanoseconds below. It accepts
// what the RFC's grammar and the calendar do, in the years 0 to 9999 of UTC.
func parseTime(b []byte) (micros int64, nanos int16, ok bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, 0, false
	}
	century, ok1 := two(b, 0)
	year, ok2 := two(b, 2)
	month, ok3 := two(b, 5)
	day, ok4 := two(b, 8)
	hour, ok5 := two(b, 11)
	minute, ok6 := two(b, 14)
	second, ok7 := two(b, 17)
	year += 100 * century
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	fraction, i, ok := parseFraction(b, 19)
	if !ok {
		return 0, 0, false
	}
	zone, ok := parseZone(b[i:])
	if !ok {
		return 0, 0, false
	}
	seconds := daysSinceEpoch(year, month, day)*86400 + hour*3600 + minute*60 + second - zone
	if seconds < firstSecond || seconds > lastSecond {
		return 0, 0, false
	}
	return int64(seconds)*1e6 + int64(fraction/1000), int16(fraction % 1000), true
}

// What RFC 3339 can write in UTC: the years 0 to 9999.
const (
	firstSecond = -62167219200
	lastSecond  = 253402300799
)

// two reads two decimal digits at i.
func two(b []byte, i int) (int, bool) {
	hi, lo := b[i]-'0', b[i+1]-'0'
	return int(hi)*10 + int(lo), hi <= 9 && lo <= 9
}

// parseFraction reads the decimals of a second at i, if there are any, as
// nanoseconds; what is below them is dropped. It returns the offset after them.
func parseFraction(b []byte, i int) (nanos, next int, ok bool) {
	if b[i] != '.' {
		return 0, i, true
	}
	i++
	scale, first := 100_000_000, i
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		nanos += scale * int(b[i]-'0')
		scale /= 10
	}
	return nanos, i, i > first && i < len(b)
}

// parseZone reads the offset from UTC in seconds: "Z" or "+hh:mm".
func parseZone(b []byte) (int, bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) != 6 || b[3] != ':' {
		return 0, false
	}
	hours, ok1 := two(b, 1)
	minutes, ok2 := two(b, 4)
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	seconds := hours*3600 + minutes*60
	switch b[0] {
	case '+':
		return seconds, true
	case '-':
		return -seconds, true
	}
	return 0, false
}

// daysIn returns the number of days in a month.
func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSinceEpoch counts the days from 1970-01-01 in the Gregorian calendar. Years
// are taken to begin in March, so that the leap day is the last day of a year and
// the months before it follow one linear rule.
func daysSinceEpoch(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	cycle := year + 400 // no year counted from March is below -1
	return cycle*365 + cycle/4 - cycle/100 + cycle/400 + dayOfYear - 719468 - 146097
}

// date is the inverse of daysSinceEpoch, for the years -400 and later.
func date(days int) (year, month, day int) {
	days += 719468 + 146097 // since 1 March of the year -400
	cycle := days / 146097
	days %= 146097
	year = (days - days/1460 + days/36524 - days/146096) / 365
	days -= 365*year + year/4 - year/100
	month = (5*days + 2) / 153
	day = days - (153*month+2)/5 + 1
	year += cycle*400 - 400
	if month += 3; month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// appendSeconds appends the time micros, without its fraction and zone, as
// kube-apiserver does: "2006-01-02T15:04:05". It returns the fraction in
// microseconds too.
func appendSeconds(dst []byte, micros int64) ([]byte, int) {
	seconds, fraction := split(micros, 1e6)
	days, second := split(seconds, 86400)
	year, month, day := date(int(days))
	hour, minute := second/3600, second/60%60
	dst = append(pair(pair(dst, year/100), year%100), '-')
	dst = append(pair(dst, month), '-')
	dst = append(pair(dst, day), 'T')
	dst = append(pair(dst, hour), ':')
	dst = append(pair(dst, minute), ':')
	return pair(dst, second%60), fraction
}

// split divides n by unit, rounding down.
func split(n, unit int64) (int64, int) {
	q, r := n/unit, n%unit
	if r < 0 {
		q, r = q-1, r+unit
	}
	return q, int(r)
}

// pair appends n as two decimal digits.
func pair(dst []byte, n int) []byte {
	const digits = "00010203040506070809101112131415161718192021222324" +
		"25262728293031323334353637383940414243444546474849" +
		"50515253545556575859606162636465666768697071727374" +
		"75767778798081828384858687888990919293949596979899"
	i := uint(n) % 100 * 2
	return append(dst, digits[i], digits[i+1])
}

// appendTime appends a time as JSON with its microseconds, or null.
func appendTime(dst []byte, micros int64) []byte {
	if micros == NoTime {
		return append(dst, "null"...)
	}
	dst, fraction := appendSeconds(append(dst, '"'), micros)
	return appendFraction(dst, fraction)
}

// appendFraction ends a time in JSON after its seconds.
func appendFraction(dst []byte, micros int) []byte {
	dst = pair(append(dst, '.'), micros/10000)
	return append(pair(pair(dst, micros/100%100), micros%100), 'Z', '"')
}

// appendSecondTime appends a time as JSON without its fraction, or null.
func appendSecondTime(dst []byte, micros int64) []byte {
	if micros == NoTime {
		return append(dst, "null"...)
	}
	dst, _ = appendSeconds(append(dst, '"'), micros)
	return append(dst, 'Z', '"')
}
