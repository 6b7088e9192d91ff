package policy

const protobufPrefix = "k8s\x00"

func (s scheme) decodeProtobuf(data []byte) (*decoded, error) { panic("being built") }
