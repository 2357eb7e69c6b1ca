/// A breach of a rule.
struct Violation: Equatable, CustomStringConvertible {
    var file: String
    var line: Int
    var rule: String

    var description: String { "\(file):\(line): \(rule)" }
}

/// A source file, named from the package's root: `Sources/Ledger/Ledger.swift`.
struct SourceFile {
    let path: String
    let text: SwiftText

    init(path: String, _ text: String) {
        self.path = path
        self.text = SwiftText(text)
    }

    /// The target if the file lies in Sources, else nil.
    var target: String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }

    func violation(at offset: Int, _ rule: String) -> Violation {
        Violation(file: path, line: text.line(at: offset), rule: rule)
    }
}

enum Rules {
    static let maxFileLines = 400
    static let maxFunctionLines = 70
    static let pureTargets: Set = ["Model", "Formats", "Protocol", "ExportCore", "Synthetic"]
    static let dataPathTargets: Set = ["Formats", "ShardWorker"]
    // Put together here, so that this file does not break the rule itself.
    static let unfinishedWords = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]

    static func all(_ file: SourceFile) -> [Violation] {
        lengths(file) + unfinished(file) + forbiddenCalls(file) + imports(file)
    }

    static func lengths(_ file: SourceFile) -> [Violation] {
        var found: [Violation] = []
        if file.text.lineCount > maxFileLines {
            found.append(
                Violation(
                    file: file.path, line: maxFileLines + 1,
                    rule: "\(file.text.lineCount) lines; a file has at most \(maxFileLines)"))
        }
        for function in file.text.functions where function.lineCount > maxFunctionLines {
            found.append(
                Violation(
                    file: file.path, line: function.firstLine,
                    rule: "\(function.lineCount) lines; a function has at most \(maxFunctionLines)"))
        }
        return found
    }

    /// Comments and strings included.
    static func unfinished(_ file: SourceFile) -> [Violation] {
        unfinishedWords.flatMap { word in
            SwiftText.offsets(of: word, in: file.text.original).map {
                file.violation(at: $0, "\(word): finish it, or describe the limit in words")
            }
        }
    }

    static func forbiddenCalls(_ file: SourceFile) -> [Violation] {
        guard let target = file.target else { return [] }
        var forbidden = [
            ("try!", "handle the error"), ("as!", "cast with as? and handle nil"),
            ("fatalError(", "throw, or make the state impossible"),
            ("@unchecked Sendable", "use Mutex, or nonisolated(unsafe) with a reason"),
        ]
        if target != "SiderealExport" {
            forbidden += [("print(", "a library does not print"), ("debugPrint(", "a library does not print")]
        }
        if pureTargets.contains(target) {
            forbidden += [
                ("Date()", "time is a parameter"), (".random(", "randomness is a parameter"),
                ("SystemRandomNumberGenerator", "randomness is a parameter"),
                ("import Glibc", "this target is pure"),
            ]
        }
        if dataPathTargets.contains(target) {
            forbidden += ["JSONEncoder", "JSONDecoder", "Codable", "Encodable", "Decodable"].map {
                ($0, "not on the data path; write and read bytes")
            }
        }
        return forbidden.flatMap { pattern, advice in
            SwiftText.offsets(of: pattern, in: file.text.code).map {
                file.violation(at: $0, "\(pattern) is forbidden in \(target): \(advice)")
            }
        }
    }
}
