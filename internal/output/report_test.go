package output

import (
	"bufio"
	"strings"
	"testing"
)

func TestSayFitsTheTerminal(t *testing.T) {
	var out strings.Builder
	p := &Page{W: bufio.NewWriter(&out), Fit: 20}
	p.Say("\n  %s was refused %d times: no rule.", "", "mallory", 13)
	p.Say("short", "")
	p.Say("# a comment of YAML stays whole", "")
	p.Fit = 0
	p.Say("longer than twenty columns", "")
	p.W.Flush()
	want := "\n  mallory was\n    refused 13\n    times: no rule.\nshort\n# a comment of YAML stays whole\nlonger than twenty columns\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
