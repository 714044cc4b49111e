import DemoState
import LOLViT
import SwiftUI

/// The classes, objects or areas that the model found.
struct ResultView: View {
    let screen: Screen

    var body: some View {
        if let outcome = screen.result?.outcome {
            GroupBox {
                VStack(alignment: .leading, spacing: 8) {
                    if screen.isUntrained {
                        Label(.untrainedTitle, systemImage: "dice").font(.headline)
                        Text(.untrained).foregroundStyle(.secondary)
                    }
                    let rows = screen.rows(outcome)
                    if rows.isEmpty { Text(.nothingFound) }
                    ForEach(rows) { BarView(row: $0) }
                }
                .frame(maxWidth: .infinity, alignment: .leading)
            } label: {
                Text(.result)
            }
        }
    }
}

/// A label with its share as a number and a bar.
private struct BarView: View {
    let row: ResultRow

    var body: some View {
        VStack(alignment: .leading, spacing: 2) {
            HStack(alignment: .firstTextBaseline) {
                if let color = row.color {
                    Circle().fill(Color(color)).frame(width: 10, height: 10)
                }
                Text(verbatim: row.label)
                Spacer()
                Text(verbatim: row.value).monospacedDigit()
            }
            ProgressView(value: row.share)
        }
        .accessibilityElement(children: .ignore)
        .accessibilityLabel(Text(row.spoken))
    }
}

/// The latency now, its median and its 90th percentile, and where the model runs.
struct LatencyView: View {
    let screen: Screen

    var body: some View {
        if let latency = screen.latency {
            GroupBox {
                VStack(alignment: .leading, spacing: 8) {
                    ViewThatFits(in: .horizontal) {
                        HStack(alignment: .top) { figures(latency) }
                        VStack(alignment: .leading) { figures(latency) }
                    }
                    ForEach(screen.howMeasured, id: \.words) { line in
                        Text(line).font(.footnote).foregroundStyle(.secondary)
                    }
                }
                .frame(maxWidth: .infinity, alignment: .leading)
            } label: {
                Text(.latency)
            }
        }
    }

    @ViewBuilder private func figures(_ latency: Latency) -> some View {
        FigureView(title: .latencyNow, milliseconds: latency.now)
        FigureView(title: .latencyMedian, milliseconds: latency.median)
        FigureView(title: .latencyP90, milliseconds: latency.p90)
    }
}

private struct FigureView: View {
    let title: Words
    let milliseconds: Double?

    var body: some View {
        let shown = milliseconds.map { "\(Figures.milliseconds($0)) ms" } ?? Words.notYet.text
        VStack(alignment: .leading) {
            Text(title).font(.caption).foregroundStyle(.secondary)
            Text(verbatim: shown).font(.title3).monospacedDigit()
        }
        .padding(.trailing, 16)
        .accessibilityElement(children: .ignore)
        .accessibilityLabel(Text(Message(.spokenFigure, .words(title), .text(shown))))
    }
}

/// The models of the app, and the engines of the chosen one; a missing one has its reason.
struct ChoicesView: View {
    let screen: Screen
    let session: PhotoSession

    var body: some View {
        if !screen.models.isEmpty {
            GroupBox {
                ForEach(screen.models) { model in
                    ChoiceRow(
                        title: model.title, detail: model.detail.text,
                        isChosen: model.id == screen.modelID, isEnabled: true
                    ) { session.chooseModel(model.id) }
                }
            } label: {
                Text(.model)
            }
        }
        if !screen.engines.isEmpty {
            GroupBox {
                ForEach(screen.engines) { engine in
                    ChoiceRow(
                        title: engine.name.text, detail: engine.reason?.text,
                        isChosen: engine.id == screen.engineID, isEnabled: engine.missing == nil
                    ) { session.chooseEngine(engine.id) }
                }
                ForEach(screen.openedLines, id: \.text) { line in
                    Text(line).font(.footnote).foregroundStyle(.secondary)
                        .frame(maxWidth: .infinity, alignment: .leading)
                }
            } label: {
                Text(.engine)
            }
        }
    }
}

/// One of several things to choose from.
struct ChoiceRow: View {
    let title: String
    let detail: String?
    let isChosen: Bool
    let isEnabled: Bool
    let choose: @MainActor () -> Void

    var body: some View {
        Button(action: choose) {
            HStack {
                VStack(alignment: .leading) {
                    Text(verbatim: title).foregroundStyle(isEnabled ? .primary : .secondary)
                    if let detail {
                        Text(verbatim: detail).font(.footnote).foregroundStyle(.secondary)
                    }
                }
                .multilineTextAlignment(.leading)
                Spacer()
                if isChosen { Image(systemName: "checkmark") }
            }
            .frame(minHeight: 44)
            .contentShape(Rectangle())
        }
        .buttonStyle(.plain)
        .disabled(!isEnabled)
        .accessibilityAddTraits(isChosen ? .isSelected : [])
    }
}
