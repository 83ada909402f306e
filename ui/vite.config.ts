import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

/**
 * The page works under any prefix and on deep links: every URL is relative to <base href>, which whoever
 * serves index.html sets to the way up from the requested path ('./' for /services, '../' for /s/api).
 */
function baseFromPath(): Plugin {
  return {
    name: 'strobe-base-from-path',
    apply: 'serve',
    transformIndexHtml: {
      order: 'post',
      handler(html, context) {
        const path = (context.originalUrl ?? '/').split('?')[0] ?? '/'
        const depth = path.split('/').length - 2
        return html.replace('<base href="./"', `<base href="${'../'.repeat(depth) || './'}"`)
      },
    },
  }
}

const server = process.env.STROBE_URL ?? 'http://localhost:4040'

export default defineConfig({
  base: './',
  plugins: [react(), tailwindcss(), baseFromPath()],
  resolve: { dedupe: ['react', 'react-dom', 'd3-selection'] },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2023',
    // Data URLs would need font-src and img-src to allow data: in the content security policy.
    assetsInlineLimit: 0,
    // The manifest lets the size test tell what each page loads.
    manifest: true,
  },
  server: { proxy: { '/api': { target: server, changeOrigin: true } } },
})
