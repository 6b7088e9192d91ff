package policy

import "fmt"

// Language is one that texts for people are written in.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Say is the text in language l, with values put in as fmt.Sprintf does.
func (l Language) Say(en, zh string, values ...any) string {
	if l == Chinese {
		en = zh
	}
	return fmt.Sprintf(en, values...)
}
