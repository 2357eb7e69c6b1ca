import Backends
import Formats
import Model

/// The formats, and the two requests that put something around each record.
enum EncodingCases {
    static let stamp = ExportStamp(version: ExporterVersion.current, cluster: "bench")

    static let all: [MicroCase] =
        FormatKind.allCases.flatMap { format in
            Corpus.kinds.map { kind in
                MicroCase("encode-\(format.rawValue)-\(kind.name)") { encoding(format, try kind.make()) }
            }
        } + [
            MicroCase("bulk-json-typical") { bulk(try Corpus.typical()) },
            MicroCase("hec-json-typical") { hec(try Corpus.typical()) },
        ]

    private static func encoding(_ format: FormatKind, _ corpus: Corpus) -> Round {
        round(FormatEncoder(format, stamp: stamp, options: FormatOptions()), corpus)
    }

    private static func round(_ encoder: FormatEncoder, _ corpus: Corpus) -> Round {
        passes(corpus) { record, span, out, _ in encoder.encode(record, of: span, into: &out) }
    }

    private static func bulk(_ corpus: Corpus) -> Round {
        let target = target(.elasticsearch, port: 9_200)
        let builder = ElasticsearchRequestBuilder(target: target, encoder: encoder(of: target))
        return passes(corpus) { record, span, out, scratch in
            builder.append(record, of: span, into: &out, scratch: &scratch)
        }
    }

    private static func hec(_ corpus: Corpus) -> Round {
        let target = target(.splunk, port: 8_088)
        let builder = SplunkRequestBuilder(target: target, encoder: encoder(of: target), cluster: "bench")
        return passes(corpus) { record, span, out, scratch in
            builder.append(record, of: span, into: &out, scratch: &scratch)
        }
    }

    static func target(_ backend: BackendKind, port: Int) -> Target {
        let endpoint = Endpoint(scheme: "https", host: "receiver.example", port: port, path: "")
        return Target(name: "bench", backend: backend, format: .json, endpoint: endpoint)
    }

    private static func encoder(of target: Target) -> FormatEncoder {
        FormatEncoder(target.format, stamp: stamp, options: target.formatOptions)
    }

    private static func passes(
        _ corpus: Corpus,
        _ write:
            @escaping (borrowing ProbeResult, Span<UInt8>, inout ByteWriter, inout ByteWriter) -> Void
    ) -> Round {
        let buffers = Buffers()
        return Round {
            let span = corpus.bytes.span
            var sum = 0
            for _ in 0..<Corpus.passes {
                buffers.out.removeAll()
                for index in corpus.records.indices {
                    write(corpus.records[index], span, &buffers.out, &buffers.scratch)
                }
                sum &+= buffers.out.count
            }
            return sum
        }
    }
}

/// What is written to, kept from round to round as a target keeps its own.
final class Buffers {
    var out = ByteWriter(capacity: 2 << 20)
    var scratch = ByteWriter(capacity: 16 << 10)
}
