import Compression
import Formats
import Model

/// A batch of records in the native form, compressed into one member.
enum GzipCases {
    static let all = [MicroCase("gzip-json-typical") { try compressing(try Corpus.typical()) }]

    private final class Holder {
        var compressor: Gzip.Compressor

        init() throws { compressor = try Gzip.Compressor() }
    }

    private static func compressing(_ corpus: Corpus) throws -> Round {
        let encoder = FormatEncoder(.json, stamp: EncodingCases.stamp, options: FormatOptions())
        var out = ByteWriter(capacity: 2 << 20)
        for _ in 0..<Corpus.passes {
            for record in corpus.records {
                encoder.encode(record, of: corpus.bytes.span, into: &out)
                out.append(0x0A)
            }
        }
        let batch = out.seal()
        let holder = try Holder()
        return Round { try holder.compressor.compress(batch.span).count }
    }
}
