package org.lolvit.demo

import android.content.Context
import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.style.ForegroundColorSpan
import android.text.style.RelativeSizeSpan
import android.util.AttributeSet
import android.view.LayoutInflater
import android.widget.RadioButton
import android.widget.RadioGroup

/** One line of a [ChoiceList]; [detail] is read out with it, [enabled] is whether it can be chosen. */
internal data class Choice(val id: String, val title: String, val detail: String, val enabled: Boolean = true)

/** Radio buttons with a title and a second, quieter line, which holds the reason of a disabled one. */
internal class ChoiceList(context: Context, attributes: AttributeSet?) : RadioGroup(context, attributes) {
    private var choices = emptyList<Choice>()
    private val buttons = HashMap<String, RadioButton>()

    /** Called with the id of the choice that the user made. */
    var onChosen: (String) -> Unit = {}

    /** Shows [choices] with [chosen] marked; makes new buttons only where they differ from those shown. */
    fun show(choices: List<Choice>, chosen: String?) {
        if (choices != this.choices) rebuild(choices)
        buttons[chosen]?.let { if (!it.isChecked) it.isChecked = true } ?: clearCheck()
    }

    private fun rebuild(choices: List<Choice>) {
        this.choices = choices
        buttons.clear()
        removeAllViews()
        choices.forEach(::add)
    }

    private fun add(choice: Choice) {
        val button = LayoutInflater.from(context).inflate(R.layout.choice, this, false) as RadioButton
        button.id = generateViewId()
        button.text = twoLines(choice)
        button.isEnabled = choice.enabled
        button.setOnClickListener { onChosen(choice.id) }
        buttons[choice.id] = button
        addView(button)
    }

    private fun twoLines(choice: Choice): CharSequence {
        val text = SpannableStringBuilder(choice.title)
        if (!choice.enabled) text.mute(0)
        if (choice.detail.isEmpty()) return text
        val start = text.length
        text.append('\n').append(choice.detail).mute(start)
        text.setSpan(RelativeSizeSpan(DETAIL_SIZE), start, text.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
        return text
    }

    private fun SpannableStringBuilder.mute(start: Int) =
        setSpan(ForegroundColorSpan(context.getColor(R.color.muted)), start, length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)

    private companion object {
        const val DETAIL_SIZE = 0.875f
    }
}
