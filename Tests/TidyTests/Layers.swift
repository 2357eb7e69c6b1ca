/// Which target may import which.
enum Layers {
    static let table: [String: Int] = [
        "CCurl": 0, "COpenSSL": 0, "CSQLite": 0, "CISAL": 0, "CYAML": 0, "CMalloc": 0, "CScan": 0, "CTimer": 0,
        "Model": 1,
        "Formats": 2, "Protocol": 2, "ExportCore": 2, "Synthetic": 2, "Telemetry": 2, "Threading": 2, "YAML": 2,
        "Crypto": 3, "Compression": 3, "HTTPClient": 3, "Ledger": 3, "Secrets": 3, "Configuration": 3,
        "KubernetesAPI": 4, "Backends": 4, "PeerTransport": 4,
        "Coordinator": 5, "ShardWorker": 5, "Sandbox": 5, "StatusEndpoint": 5,
        "SiderealExport": 6,
    ]

    /// Imports inside one layer: the machines of the cluster speak in the protocol's terms.
    static let sideways: Set = ["ExportCore → Protocol"]

    /// The targets that may import a C module.
    static let owners: [String: Set<String>] = [
        "CCurl": ["HTTPClient"], "COpenSSL": ["Crypto"], "CSQLite": ["Ledger"], "CISAL": ["Compression", "Protocol"],
        "CMalloc": ["SiderealExport"], "CScan": ["Formats"], "CTimer": ["Threading"],
        "CYAML": ["YAML"],
    ]

    /// Directories below Sources that the table does not know.
    static func unknown(_ directories: [String]) -> [String] {
        directories.filter { table[$0] == nil }.sorted()
    }
}

extension Rules {
    /// What brings the Unicode consortium's data: 35 MB.
    static let heavy: Set = ["Foundation", "FoundationInternationalization", "FoundationNetworking", "FoundationXML"]

    /// Modules imported, with the offset of each `import`.
    static func importedModules(_ text: SwiftText) -> [(module: String, offset: Int)] {
        SwiftText.offsets(of: "import ", in: text.code).compactMap { offset in
            let line = text.code[offset...].prefix { $0 != UInt8(ascii: "\n") }
            var words = String(decoding: line, as: UTF8.self).split { $0 == " " || $0 == ";" }.dropFirst()
            let kinds: Set = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]
            if let first = words.first, kinds.contains(String(first)) { words = words.dropFirst() }
            guard let module = words.first?.split(separator: ".").first else { return nil }
            return (String(module), offset)
        }
    }

    static func imports(_ file: SourceFile) -> [Violation] {
        guard let target = file.target, let layer = Layers.table[target] else { return [] }
        return importedModules(file.text).compactMap { module, offset in
            if heavy.contains(module) {
                return file.violation(
                    at: offset, "\(module) makes the program twice as large; import FoundationEssentials, or do without"
                )
            }
            guard let imported = Layers.table[module] else { return nil }
            if imported >= layer, !Layers.sideways.contains("\(target) → \(module)") {
                return file.violation(
                    at: offset, "\(target) (layer \(layer)) imports \(module) (layer \(imported)): imports point down")
            }
            if let owners = Layers.owners[module], !owners.contains(target) {
                let names = owners.sorted().joined(separator: " and ")
                return file.violation(at: offset, "\(target) imports \(module), which only \(names) may")
            }
            return nil
        }
    }

    /// What each backend's folder has; further files are its own affair.
    static let backendRoles = ["Access.swift", "Backend.swift", "RequestBuilder.swift", "Verdict.swift"]

    /// What is missing in which backend's folder. Files are compared without the backend's name at their start.
    static func unevenBackends(_ folders: [String: [String]]) -> [String] {
        folders.sorted { $0.key < $1.key }.flatMap { folder, files in
            let found = Set(files.map { role($0, of: folder) })
            return backendRoles.filter { !found.contains($0) }.map { "\(folder) lacks \(folder)\($0)" }
        }
    }

    private static func role(_ file: String, of folder: String) -> String {
        let isNamed = file.lowercased().hasPrefix(folder.lowercased())
        return isNamed ? String(file.dropFirst(folder.count)) : file
    }
}
