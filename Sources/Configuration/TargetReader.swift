import Model

/// Reads one entry of `export.targets`.
struct TargetReader {
    let section: Section
    /// Position in the list, from 0.
    let index: Int
    let context: TargetContext
    var limits: Limits { context.limits }

    /// The target, complete with its defaults; nil if it has no usable backend or endpoint, which is reported.
    func read() -> Target? {
        let chosen = section.choice("backend", as: BackendKind.self) { Capabilities.backends.contains($0) }
        if section.field("backend") == nil {
            section.missing("backend", "is missing", hint: "one of \(Self.list(Capabilities.backends))")
        }
        let backend = chosen?.value
        let format = section.choice("format", as: FormatKind.self) { Capabilities.formats.contains($0) }
        // A format that was given and is none says nothing about which keys belong to it.
        let known = section.field("format") == nil ? .json : format?.value
        refuseUnknownKeys(backend, known)
        var s3 = S3Settings()
        let endpoint = backend == .s3 ? readS3Place(&s3) : endpoint(backend)
        var target = Target(
            name: name(backend), backend: backend ?? .splunk, format: format?.value ?? .json,
            endpoint: endpoint ?? Endpoint(scheme: "", host: "", port: 0, path: ""))
        target.s3 = s3
        readFields(&target)
        readBatch(&target.batch)
        readConcurrency(&target)
        readRetry(&target.retry)
        readTransport(&target)
        readFormatOptions(&target.formatOptions, known, backend)
        guard backend != nil, endpoint != nil else { return nil }
        return target
    }

    private func name(_ backend: BackendKind?) -> String {
        let standard = "\(backend?.rawValue ?? "target")-\(index)"
        guard let name = section.text("name", maxBytes: 63) else { return standard }
        if !name.value.unicodeScalars.allSatisfy({ $0.isWordASCII || $0 == "." }) || name.value.hasPrefix(".") {
            section.problems.add(
                name.position, name.keyPath,
                "\(shown(name.value)) is not a name; use letters, digits, `-`, `_` and `.`, not `.` first")
        }
        return name.value
    }

    func endpoint(_ backend: BackendKind?) -> Endpoint? {
        // Without a backend, or with one of a later version, nothing is known about its endpoint.
        guard let backend, Capabilities.backends.contains(backend) else { return nil }
        guard let text = section.text("endpoint") else {
            if section.field("endpoint") == nil {
                let form = EndpointReader.form(of: backend)
                section.missing("endpoint", "is missing", hint: "expected `endpoint: \(form)`")
            }
            checkSecretRef(backend, nil)
            return nil
        }
        do throws(AddressMistake) {
            let endpoint = try EndpointReader(backend: backend, tlsRequired: context.tlsRequired).endpoint(text.value)
            checkSecretRef(backend, endpoint)
            return endpoint
        } catch {
            section.problems.add(text.position, text.keyPath, error.message, hint: error.hint)
            checkSecretRef(backend, nil)
            return nil
        }
    }

    /// Splunk always needs a token; Elasticsearch may be open on this machine.
    private func checkSecretRef(_ backend: BackendKind, _ endpoint: Endpoint?) {
        guard section.field("secretRef") == nil else { return }
        switch backend {
        case .splunk:
            section.missing(
                "secretRef", "is missing; the backend `splunk` needs a token",
                hint: "name the secret whose key `token` holds the HEC token")
        case .elasticsearch where endpoint.map(Self.isLoopback) == false:
            section.missing(
                "secretRef", "is missing; only an Elasticsearch on this machine may go without credentials",
                hint: "name the secret with the keys `username` and `password`, or `apiKey`")
        case .elasticsearch, .file, .s3, .syslog: break
        }
    }

    private static func isLoopback(_ endpoint: Endpoint) -> Bool {
        (try? Address(endpoint.base))?.isLoopback ?? false
    }

    private func readFields(_ target: inout Target) {
        if let ref = section.text("secretRef", maxBytes: 253) {
            if Self.isSecretName(ref.value) {
                target.secretRef = ref.value
            } else {
                section.problems.add(
                    ref.position, ref.keyPath,
                    "\(shown(ref.value)) is not the name of a secret: no slashes, spaces or `..`, no `.` first",
                    hint: "give the name only; the secret is looked for below the secrets directory")
            }
        }
        switch target.backend {
        case .splunk: readSplunk(&target)
        case .elasticsearch: readElasticsearch(&target)
        case .s3: readS3(&target)
        case .file, .syslog: break
        }
        target.source = section.text("source", maxBytes: 255)?.value
        target.sourcetype = section.text("sourcetype", maxBytes: 255)?.value
        target.host = section.text("host", maxBytes: 255)?.value
        if let size = section.size("maxFileBytes", in: (1 << 20)...(1 << 40)) { target.maxFileBytes = size.value }
        if let age = section.duration("maxFileAge", in: 1_000...86_400_000) {
            target.maxFileAgeMilliseconds = age.value
        }
        if target.backend == .file, section.flag("gzip") == true { target.compression = .gzip }
        if let grace = section.duration("grace", in: 50...60_000) { target.graceMilliseconds = grace.value }
    }

    private func readElasticsearch(_ target: inout Target) {
        target.index = indexName("index")
        target.dataStream = indexName("dataStream")
        target.setup = section.flag("setup") ?? false
        if section.field("index") != nil, section.field("dataStream") != nil {
            section.problems.add(
                section.position(of: "dataStream"), section.path("dataStream"),
                "`index` and `dataStream` exclude each other", hint: "keep one of them")
        }
    }

    /// Elasticsearch's rules for names of indices ("Create index API", path parameters). The date takes 11 of 255 bytes.
    private func indexName(_ key: String) -> String? {
        guard let name = section.text(key, maxBytes: 244) else { return nil }
        let sound =
            name.value.unicodeScalars.allSatisfy { ($0.isWordASCII || $0 == ".") && !("A"..."Z").contains($0) }
            && !["-", "_", "+", "."].contains(name.value.prefix(1))
        if !sound {
            section.problems.add(
                name.position, name.keyPath,
                "\(shown(name.value)) cannot be the name of an index: lower-case letters, digits, `-`, `_` and `.`,"
                    + " a letter or digit first",
                hint: name.value.lowercased() == name.value ? nil : "did you mean \(shown(name.value.lowercased()))?")
        }
        return name.value
    }

    /// Whether `name` is one component of a path.
    private static func isSecretName(_ name: String) -> Bool {
        !name.hasPrefix(".") && !name.contains("..")
            && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x2F && $0 != 0x5C && $0 < 0x7F }
    }

    static func list(_ backends: Set<BackendKind>) -> String {
        BackendKind.allCases.filter(backends.contains).map { "`\($0.rawValue)`" }.joined(separator: ", ")
    }
}
