package options

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kubetrail/record/redact"
)

// Validate returns what is wrong, in upstream's words and order, then what is wrong with
// what upstream has not. The options of a backend that is not used are not looked at.
func (o *Options) Validate() []error {
	var faults []error
	if o.Log.Path != "" {
		faults = append(faults, o.Log.validate()...)
	}
	if len(o.Webhook.ConfigFiles) > 0 {
		faults = append(faults, o.Webhook.validate()...)
	}
	return append(faults, o.validateOwn()...)
}

func (l *Log) validate() []error {
	faults := []error{l.Batch.validate("log"), l.Truncate.validate("log"), validateVersion(l.Version)}
	if formats := []string{formatLegacy, formatJSON}; !slices.Contains(formats, l.Format) {
		faults = append(faults, fmt.Errorf("invalid audit log format %s, allowed formats are %q", l.Format, strings.Join(formats, ",")))
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"maxage", l.MaxAge}, {"maxbackup", l.MaxBackups}, {"maxsize", l.MaxSize}} {
		if n.value < 0 {
			faults = append(faults, fmt.Errorf("--audit-log-%s %v can't be a negative number", n.flag, n.value))
		}
	}
	return present(faults)
}

func (w *Webhook) validate() []error {
	return present([]error{w.Batch.validate("webhook"), w.Truncate.validate("webhook"), validateVersion(w.Version)})
}

// validate returns the first fault only, as upstream does.
func (b *Batch) validate(plugin string) error {
	switch b.Mode {
	case ModeBatch:
	case ModeBlocking, ModeBlockingStrict:
		return nil
	default:
		modes := strings.Join([]string{ModeBatch, ModeBlocking, ModeBlockingStrict}, ",")
		return fmt.Errorf("invalid audit %s mode %s, allowed modes are %q", plugin, b.Mode, modes)
	}
	bad := func(what string, value any) error {
		return fmt.Errorf("invalid audit batch %s %s %v, must be a positive number", plugin, what, value)
	}
	switch {
	case b.BufferSize <= 0:
		return bad("buffer size", b.BufferSize)
	case b.MaxSize <= 0:
		return bad("max batch size", b.MaxSize)
	case b.ThrottleEnable && b.ThrottleQPS <= 0:
		return bad("throttle QPS", b.ThrottleQPS)
	case b.ThrottleEnable && b.ThrottleBurst <= 0:
		return bad("throttle burst", b.ThrottleBurst)
	}
	return nil
}

// validate looks at sizes even where truncation is off, as upstream does.
func (t *Truncate) validate(plugin string) error {
	if t.MaxEventSize <= 0 {
		return fmt.Errorf("invalid audit truncate %s max event size %v, must be a positive number", plugin, t.MaxEventSize)
	}
	if t.MaxBatchSize < t.MaxEventSize {
		return fmt.Errorf("invalid audit truncate %s max batch size %v, must be greater than max event size (%v)", plugin, t.MaxBatchSize, t.MaxEventSize)
	}
	return nil
}

func validateVersion(text string) error {
	switch {
	case strings.Count(text, "/") > 1:
		return fmt.Errorf("unexpected GroupVersion string: %v", text)
	case text != version:
		return fmt.Errorf("invalid group version, allowed versions are %q", []string{version})
	}
	return nil
}

// validateOwn looks at what upstream has not.
func (o *Options) validateOwn() []error {
	var faults []error
	if w := &o.Webhook; len(w.ConfigFiles) > 0 && w.SpillDir != "" {
		if w.SpillMaxSize <= 0 {
			faults = append(faults, fmt.Errorf("--audit-webhook-spill-max-size %d must be a positive number", w.SpillMaxSize))
		}
	}
	for i, name := range o.Webhook.ConfigFiles {
		same := func(other string) bool { return absolute(other) == absolute(name) }
		if slices.ContainsFunc(o.Webhook.ConfigFiles[:i], same) {
			faults = append(faults, fmt.Errorf("--audit-webhook-config-file %s is given twice", name))
		}
	}
	if _, err := redact.Parse(o.Redact.What); err != nil {
		faults = append(faults, fmt.Errorf("--audit-redact: %w", err))
	}
	if len(o.Redact.What) > 0 && o.Redact.KeyFile == "" {
		faults = append(faults, errors.New("--audit-redact needs --audit-redact-key-file; make one by "+makeKey+"FILE"))
	}
	return faults
}

// present returns the errors that are not nil.
func present(all []error) []error {
	return slices.DeleteFunc(all, func(err error) bool { return err == nil })
}
