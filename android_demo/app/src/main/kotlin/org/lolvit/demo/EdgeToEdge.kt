package org.lolvit.demo

import android.graphics.Insets
import android.os.Build
import android.view.View
import android.view.Window
import android.view.WindowInsets

/**
 * Lets the screen reach under the system's bars, as Android 15 does by itself, and keeps its content out of them:
 * [root] ends below the status bar, [scroll] scrolls through under the navigation bar.
 */
internal fun edgeToEdge(window: Window, root: View, scroll: View) {
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
        window.setDecorFitsSystemWindows(false)
    } else {
        @Suppress("DEPRECATION") // the only way before Android 11
        root.systemUiVisibility = root.systemUiVisibility or
            View.SYSTEM_UI_FLAG_LAYOUT_STABLE or View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN or
            View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION
    }
    root.setOnApplyWindowInsetsListener { _, insets ->
        val edges = edges(insets)
        root.setPadding(edges.left, edges.top, edges.right, 0)
        scroll.setPadding(0, 0, 0, edges.bottom)
        insets
    }
}

private class Edges(val left: Int, val top: Int, val right: Int, val bottom: Int)

private fun edges(insets: WindowInsets): Edges {
    if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) {
        @Suppress("DEPRECATION")
        return insets.run { Edges(systemWindowInsetLeft, systemWindowInsetTop, systemWindowInsetRight, systemWindowInsetBottom) }
    }
    val bars: Insets = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
    return Edges(bars.left, bars.top, bars.right, bars.bottom)
}
