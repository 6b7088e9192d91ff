package parquet

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// A Bloom filter is split into blocks of 32 bytes: the upper half of a hash picks
// the block, the lower half sets one bit in each of the block's eight words.
const bloomBlock = 32

var bloomSalt = [8]uint32{
	0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
	0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31,
}

// Hash is the hash of a value as it lies in a column: XXH64 with seed 0.
func Hash(value []byte) uint64 { return xxhash.Sum64(value) }

func buildBloom(hashes []uint64, bits int) []byte {
	blocks := max(1, (len(hashes)*bits+bloomBlock*8-1)/(bloomBlock*8))
	filter := make([]byte, blocks*bloomBlock)
	for _, h := range hashes {
		at := bloomIndex(h, blocks)
		for i, salt := range bloomSalt {
			bit := uint32(h) * salt >> 27
			filter[at+4*i+int(bit>>3)] |= 1 << (bit & 7)
		}
	}
	return filter
}

func bloomIndex(h uint64, blocks int) int {
	return int(h>>32*uint64(blocks)>>32) * bloomBlock
}

// bloomHas reports whether a block may hold h.
func bloomHas(block []byte, h uint64) bool {
	for i, salt := range bloomSalt {
		bit := uint32(h) * salt >> 27
		if binary.LittleEndian.Uint32(block[4*i:])>>bit&1 == 0 {
			return false
		}
	}
	return true
}
